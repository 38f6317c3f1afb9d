// Package manifests has tests alone: whether what lies in deploy is what Kubernetes, KEDA, Docker Compose and Prometheus take, and whether
// the program really runs as it says there.
package manifests
