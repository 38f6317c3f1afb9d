package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imagePlatforms are those of the image.
//
//nolint:gochecknoglobals // a constant list
var imagePlatforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}}

// imageConfig is how a container of the image runs, unless it is told otherwise. The Dockerfile says the same: see TestDockerfile.
func (s source) imageConfig() v1.Config {
	return v1.Config{
		User: "65532:65532",
		// Loopback would be the container's own, which no probe reaches. Nothing but health is served there without a token and TLS.
		Env:          []string{"INVOICER_HTTP_ADDR=:8080"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Entrypoint:   []string{"/invoicer"},
		Cmd:          []string{"worker"},
		// Whether it lives, not whether it is ready: some orchestrators replace what isn't healthy, and an outage of Redis would have them
		// replace all workers.
		Healthcheck: &v1.HealthConfig{
			Test: []string{"CMD", "/invoicer", "health"}, Interval: 10 * time.Second, Timeout: 6 * time.Second, StartPeriod: 40 * time.Second, Retries: 3,
		},
		Labels: s.imageLabels(),
	}
}

func (s source) imageLabels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "invoicer",
		"org.opencontainers.image.description": "One invoice per transaction, numbered without a gap, however often it is asked for",
		"org.opencontainers.image.licenses":    "MIT",
		"org.opencontainers.image.version":     s.version,
		"org.opencontainers.image.revision":    s.revision,
		"org.opencontainers.image.created":     s.time.Format(time.RFC3339),
	}
}

// trusted returns the certificates of Mozilla's list, which x/crypto has: those of this machine would be others on another one. A few that
// are trusted only with a condition, which a file can't express, are left out.
func trusted() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
		}
	}
	return b.Bytes()
}

// image returns the image for a platform, of a program that is compiled for it.
func (s source) image(ctx context.Context, p platform, binary string, parts documents) (v1.Image, error) {
	program, err := readFile(binary, "invoicer", 0o755)
	if err != nil {
		return nil, err
	}
	bill, err := s.sbom(ctx, binary)
	if err != nil {
		return nil, err
	}
	const shared = "usr/share/doc/invoicer/"
	base := []file{{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, content: trusted()}}
	for _, f := range parts.terms {
		f.name = shared + f.name
		base = append(base, f)
	}
	lower, err := s.layer(base...)
	if err != nil {
		return nil, err
	}
	upper, err := s.layer(program, file{name: shared + "sbom.cdx.json", mode: 0o644, content: bill})
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: s.time}
	img, err = mutate.Append(img,
		mutate.Addendum{Layer: lower, MediaType: types.OCILayer, History: v1.History{Created: created, CreatedBy: "whom to trust for TLS, and licences"}},
		mutate.Addendum{Layer: upper, MediaType: types.OCILayer, History: v1.History{Created: created, CreatedBy: "invoicer " + s.version}},
	)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created, config.OS, config.Architecture, config.Config = created, p.os, p.arch, s.imageConfig()
	return mutate.ConfigFile(img, config)
}

func (s source) layer(files ...file) (v1.Layer, error) {
	var b bytes.Buffer
	if err := writeTar(&b, s.time, "", files...); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithMediaType(types.OCILayer))
}

// index returns the image for all platforms, of programs in a folder, one for each.
func (s source) index(ctx context.Context, binaries string) (v1.ImageIndex, error) {
	parts, err := s.documents(ctx, "", imagePlatforms)
	if err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range imagePlatforms {
		binary := filepath.Join(binaries, p.String())
		if err := s.compile(ctx, p, binary); err != nil {
			return nil, err
		}
		img, err := s.image(ctx, p, binary, parts)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: p.os, Architecture: p.arch},
		}})
	}
	annotated, ok := mutate.Annotations(index, s.imageLabels()).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("an index with annotations is a %T", annotated)
	}
	return annotated, nil
}

// writeImage writes the image into a folder, as an OCI layout that it makes anew, and pushes it if that is asked for. It prints the digest.
func writeImage(ctx context.Context, s source, out, push string, told io.Writer) error {
	var ref name.Reference
	var err error
	if push != "" {
		if ref, err = name.ParseReference(push); err != nil {
			return usageError{err}
		}
	}
	work, err := os.MkdirTemp("", "invoicer-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	index, err := s.index(ctx, work)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil { //nolint:gosec // whoever runs this names the folder
		return err
	}
	path, err := layout.Write(out, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": s.version})); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Fprintf(told, "%s %s\n", out, digest)
	if ref == nil {
		return nil
	}
	if err := remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push to %s: %w", ref, err)
	}
	fmt.Fprintf(told, "%s@%s\n", ref.Context(), digest)
	return nil
}
