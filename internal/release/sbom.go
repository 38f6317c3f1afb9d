package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// sbom returns the software bill of materials of a binary: what cyclonedx-gomod reads from it, the same each time.
func (s source) sbom(ctx context.Context, binary string) ([]byte, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // a UUID of version 8: of the file's content
	serial := fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	file := filepath.Join(filepath.Dir(binary), "sbom.json")
	if _, err := output(ctx, s.root, []string{"GOFLAGS="}, "go", "tool", "-modfile=tools/go.mod", "cyclonedx-gomod", "bin",
		"-json", "-std", "-notimestamp", "-serial", serial, "-version", s.version, "-output", file, binary); err != nil {
		return nil, err
	}
	made, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return settled(made, s)
}

// settled states the commit's time, and leaves out the checksum of the tool itself, which is another one on each machine.
func settled(sbom []byte, s source) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(sbom))
	decoder.UseNumber()
	var all map[string]any
	if err := decoder.Decode(&all); err != nil {
		return nil, err
	}
	metadata, ok := all["metadata"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the SBOM has no metadata: %.100s", sbom)
	}
	metadata["timestamp"] = s.time.Format("2006-01-02T15:04:05Z")
	tools, ok := metadata["tools"].([]any)
	if !ok || len(tools) == 0 {
		return nil, fmt.Errorf("the SBOM names no tool: %.100s", sbom)
	}
	for _, tool := range tools {
		if described, ok := tool.(map[string]any); ok {
			delete(described, "hashes")
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(all) // with sorted keys
	return b.Bytes(), err
}
