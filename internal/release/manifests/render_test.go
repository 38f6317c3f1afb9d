package manifests_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomizetypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const deploy = "../../../deploy"

// An installation is what Kubernetes is told.
type installation struct {
	namespaces  []*corev1.Namespace
	accounts    []*corev1.ServiceAccount
	configs     []*corev1.ConfigMap
	services    []*corev1.Service
	deployments []*appsv1.Deployment
	jobs        []*batchv1.Job
	policies    []*networkingv1.NetworkPolicy
	budgets     []*policyv1.PodDisruptionBudget
	scaled      []*kedav1alpha1.ScaledObject
}

// render has Kustomize put a folder together, and reads the result into Kubernetes's own types, which must know each field.
func render(t *testing.T, folder string) *installation {
	t.Helper()
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = kustomizetypes.LoadRestrictionsRootOnly
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	must(t, err)
	i := new(installation)
	for _, one := range resources.Resources() {
		text, err := one.AsYAML()
		must(t, err)
		if one.GetKind() != "Namespace" && one.GetNamespace() != "invoicer" {
			t.Errorf("%s %s is in namespace %q", one.GetKind(), one.GetName(), one.GetNamespace())
		}
		switch one.GetKind() + " " + one.GetApiVersion() {
		case "Namespace v1":
			i.namespaces = append(i.namespaces, strict[corev1.Namespace](t, text))
		case "ServiceAccount v1":
			i.accounts = append(i.accounts, strict[corev1.ServiceAccount](t, text))
		case "ConfigMap v1":
			i.configs = append(i.configs, strict[corev1.ConfigMap](t, text))
		case "Service v1":
			i.services = append(i.services, strict[corev1.Service](t, text))
		case "Deployment apps/v1":
			i.deployments = append(i.deployments, strict[appsv1.Deployment](t, text))
		case "Job batch/v1":
			i.jobs = append(i.jobs, strict[batchv1.Job](t, text))
		case "NetworkPolicy networking.k8s.io/v1":
			i.policies = append(i.policies, strict[networkingv1.NetworkPolicy](t, text))
		case "PodDisruptionBudget policy/v1":
			i.budgets = append(i.budgets, strict[policyv1.PodDisruptionBudget](t, text))
		case "ScaledObject keda.sh/v1alpha1":
			i.scaled = append(i.scaled, strict[kedav1alpha1.ScaledObject](t, text))
		default:
			t.Errorf("nothing looks at the %s %s", one.GetKind(), one.GetName())
		}
	}
	return i
}

// base renders what is delivered.
func base(t *testing.T) *installation {
	t.Helper()
	return render(t, deploy+"/kubernetes")
}

// withKEDA renders an overlay as the docs describe it.
func withKEDA(t *testing.T) *installation {
	t.Helper()
	folder, err := os.MkdirTemp(deploy, "overlay-") // Kustomize takes relative paths alone
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(folder) })
	must(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(`
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../kubernetes]
components: [../kubernetes/keda]
`), 0o600))
	i := render(t, folder)
	for _, s := range i.scaled {
		if s.Namespace != "invoicer" {
			t.Errorf("the ScaledObject is in namespace %q", s.Namespace)
		}
	}
	return i
}

// strict decodes a document, of which each field must be known, and stated once.
func strict[T any](t *testing.T, text []byte) *T {
	t.Helper()
	one := new(T)
	if err := yaml.UnmarshalStrict(text, one, yaml.DisallowUnknownFields); err != nil {
		t.Errorf("%T: %v in\n%s", one, err, text)
	}
	return one
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Each file is strict by itself, too: Kustomize merges what is stated twice.
func TestFilesAreStrict(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(deploy + "/kubernetes/*.yaml")
	must(t, err)
	more, err := filepath.Glob(deploy + "/kubernetes/keda/*.yaml")
	must(t, err)
	for _, name := range slices.Concat(files, more) {
		text, err := os.ReadFile(name)
		must(t, err)
		for number, document := range bytes.Split(text, []byte("\n---\n")) {
			if filepath.Base(name) == "kustomization.yaml" {
				strict[kustomizetypes.Kustomization](t, document)
				continue
			}
			var anything map[string]any
			if err := yaml.UnmarshalStrict(document, &anything); err != nil {
				t.Error(fmt.Errorf("%s, document %d: %w", name, number+1, err))
			}
		}
	}
	if len(files) < 8 {
		t.Errorf("only %d files were found", len(files))
	}
}
