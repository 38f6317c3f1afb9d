package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// mostImage is the largest size of an image, compressed, as it is pulled.
const mostImage = 25 << 20

// TestHeavyImage builds the image twice, in different folders, with the same digest, pushes it into a registry, and looks at what came there.
func TestHeavyImage(t *testing.T) {
	t.Parallel()
	one, two := copies(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	reference := strings.TrimPrefix(server.URL, "http://") + "/invoicer:v1.2.3"
	command := strings.ReplaceAll(documented(t, "Image"), "registry.example/invoicer:v1.2.3", reference)
	said := shell(t, one.root, command, "SOURCE_DATE_EPOCH="+strconv.FormatInt(one.time.Unix(), 10), "REVISION="+one.revision)
	out := filepath.Join(one.root, "dist/image")
	var again bytes.Buffer
	must(t, writeImage(t.Context(), two, t.TempDir(), "", &again))
	_, digest, _ := strings.Cut(strings.TrimSpace(again.String()), " ")
	if digest == "" || !strings.Contains(said, out+" "+digest+"\n") || !strings.Contains(said, "/invoicer@"+digest+"\n") {
		t.Errorf("the images are %s and %s", said, &again)
	}

	path, err := layout.FromPath(out)
	must(t, err)
	top, err := path.ImageIndex()
	must(t, err)
	manifest, err := top.IndexManifest()
	must(t, err)
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != digest || manifest.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "v1.2.3" {
		t.Errorf("the layout has %+v", manifest.Manifests)
	}
	must(t, validate.Index(top))

	ref, err := name.ParseReference(reference)
	must(t, err)
	pulled, err := remote.Index(ref, remote.WithContext(t.Context()))
	must(t, err)
	described, err := pulled.IndexManifest()
	must(t, err)
	if described.MediaType != types.OCIImageIndex || described.Annotations["org.opencontainers.image.revision"] != one.revision {
		t.Errorf("the index is %s, with %v", described.MediaType, described.Annotations)
	}
	var found []string
	for _, d := range described.Manifests {
		found = append(found, d.Platform.OS+"/"+d.Platform.Architecture)
		img, err := pulled.Image(d.Digest)
		must(t, err)
		lookAtImage(t, one, img, d.Platform.Architecture)
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(found, want) {
		t.Errorf("the image is for %q", found)
	}
}

func lookAtImage(t *testing.T, s source, img v1.Image, architecture string) {
	t.Helper()
	must(t, validate.Image(img))
	m, err := img.Manifest()
	must(t, err)
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
		if l.MediaType != types.OCILayer {
			t.Errorf("a layer is %s", l.MediaType)
		}
	}
	if size > mostImage {
		t.Errorf("the image has %d bytes, compressed", size)
	}
	config, err := img.ConfigFile()
	must(t, err)
	if config.Architecture != architecture || config.OS != "linux" || !config.Created.Equal(s.time) || !same(config.Config, s.imageConfig()) || m.Config.MediaType != types.OCIConfigJSON {
		t.Errorf("%s: %+v", architecture, config)
	}
	content := mutate.Extract(img)
	defer content.Close()
	files := make(map[string][]byte)
	for archive := tar.NewReader(content); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if h.Uid != 0 || h.Gid != 0 || h.Mode&0o022 != 0 {
			t.Errorf("%s can be written by others than root: %o", h.Name, h.Mode)
		}
		if h.Typeflag != tar.TypeDir {
			files[h.Name], err = io.ReadAll(archive)
			must(t, err)
		}
	}
	var names []string
	for file := range files {
		names = append(names, file)
	}
	slices.Sort(names)
	const shared = "usr/share/doc/invoicer/"
	if want := []string{"etc/ssl/certs/ca-certificates.crt", "invoicer", shared + "LICENSE", shared + "THIRD-PARTY-LICENCES.txt", shared + "sbom.cdx.json"}; !slices.Equal(names, want) {
		t.Errorf("the image has %q", names)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(files["etc/ssl/certs/ca-certificates.crt"]) || bytes.Count(files["etc/ssl/certs/ca-certificates.crt"], []byte("BEGIN CERTIFICATE")) < 100 {
		t.Error("the image trusts nobody")
	}
	var bill struct{ Components []any }
	if err := json.Unmarshal(files[shared+"sbom.cdx.json"], &bill); err != nil || len(bill.Components) < 40 {
		t.Errorf("the SBOM has %d components, %v", len(bill.Components), err)
	}
	if licence, err := os.ReadFile("../../LICENSE"); err != nil || !bytes.Equal(licence, files[shared+"LICENSE"]) {
		t.Errorf("the licence is another one: %v", err)
	}
}
