package manifests_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// templates returns the pods' templates by what they belong to, such as Deployment invoicer-worker.
func (i *installation) templates() map[string]corev1.PodTemplateSpec {
	all := make(map[string]corev1.PodTemplateSpec)
	for _, d := range i.deployments {
		all["Deployment "+d.Name] = d.Spec.Template
	}
	for _, j := range i.jobs {
		all["Job "+j.Name] = j.Spec.Template
	}
	return all
}

func (i *installation) worker(t *testing.T) corev1.PodTemplateSpec {
	t.Helper()
	pod, ok := i.templates()["Deployment invoicer-worker"]
	if !ok {
		t.Fatal("there is no worker")
	}
	return pod
}

// No pod may do more than it needs.
func TestPodsMayDoLittle(t *testing.T) {
	t.Parallel()
	i := base(t)
	if len(i.namespaces) != 1 || i.namespaces[0].Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Error("the namespace takes pods that aren't restricted")
	}
	pods := i.templates()
	if len(pods) != 3 {
		t.Errorf("there are %d kinds of pods", len(pods))
	}
	for name, pod := range pods {
		s := pod.Spec.SecurityContext
		switch {
		case s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != 65532 || s.RunAsGroup == nil || *s.RunAsGroup != 65532:
			t.Errorf("%s doesn't run as user 65532", name)
		case s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
			t.Errorf("%s has no filter of system calls", name)
		case pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken || pod.Spec.ServiceAccountName != i.accounts[0].Name:
			t.Errorf("%s has a token of Kubernetes's", name)
		case pod.Spec.HostNetwork || pod.Spec.HostPID || pod.Spec.HostIPC:
			t.Errorf("%s shares its node's namespaces", name)
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			s := c.SecurityContext
			if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
				s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 || s.Privileged != nil {
				t.Errorf("container %s of %s may do more than it needs", c.Name, name)
			}
			if len(c.Command) > 0 || !strings.HasPrefix(c.Image, "registry.example/invoicer:") {
				t.Errorf("container %s of %s runs %q of %s", c.Name, name, c.Command, c.Image)
			}
			if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || !c.Resources.Limits.Cpu().IsZero() {
				t.Errorf("container %s of %s has resources %v", c.Name, name, c.Resources)
			}
			for _, e := range c.Env {
				if secret := strings.HasSuffix(e.Name, "_URL"); secret != (e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil) {
					t.Errorf("container %s of %s has %s=%q", c.Name, name, e.Name, e.Value)
				}
			}
			for _, m := range c.VolumeMounts {
				if !m.ReadOnly {
					t.Errorf("container %s of %s may write in %s", c.Name, name, m.MountPath)
				}
			}
		}
	}
}

// A pod that ends has the time for it, and the probes ask where the program answers.
func TestPodsEndInTime(t *testing.T) {
	t.Parallel()
	i := base(t)
	for _, d := range i.deployments {
		spec, c := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
			t.Fatalf("%s ends before services have forgotten it", d.Name)
		}
		sleep := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		if grace := grace(spec); grace <= sleep+shutdownTimeout(t, c) {
			t.Errorf("%s has %s, and needs %s after a sleep of %s", d.Name, grace, shutdownTimeout(t, c), sleep)
		}
		for probe, path := range map[*corev1.Probe]string{c.LivenessProbe: "/livez", c.ReadinessProbe: "/readyz", c.StartupProbe: "/livez"} {
			if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || portOf(c, probe) == 0 {
				t.Errorf("%s: the probe of %s is %v", d.Name, path, probe)
			}
		}
		if patience := time.Duration(c.StartupProbe.PeriodSeconds*c.StartupProbe.FailureThreshold) * time.Second; patience < 40*time.Second {
			t.Errorf("%s may take %s to start, and waits 30 s for its servers", d.Name, patience)
		}
		if len(spec.TopologySpreadConstraints) != 2 {
			t.Errorf("%s isn't spread over nodes and zones", d.Name)
		}
		for _, spread := range spec.TopologySpreadConstraints {
			if !selects(t, spread.LabelSelector, d.Spec.Template.Labels) {
				t.Errorf("%s is spread by other pods", d.Name)
			}
		}
	}
}

func grace(spec corev1.PodSpec) time.Duration {
	return time.Duration(*spec.TerminationGracePeriodSeconds) * time.Second
}

// shutdownTimeout is how long a process may take to end, by its own configuration. The pages may take as long as an answer.
func shutdownTimeout(t *testing.T, c corev1.Container) time.Duration {
	t.Helper()
	for _, e := range c.Env {
		if e.Name == "INVOICER_WORKER_SHUTDOWN_TIMEOUT" {
			d, err := time.ParseDuration(e.Value)
			must(t, err)
			return d
		}
	}
	return 30 * time.Second
}

// portOf returns the port that a probe asks, by its name.
func portOf(c corev1.Container, probe *corev1.Probe) int32 {
	for _, p := range c.Ports {
		if p.Name == probe.HTTPGet.Port.String() {
			return p.ContainerPort
		}
	}
	return 0
}

func selects(t *testing.T, selector *metav1.LabelSelector, pod map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	must(t, err)
	return s.Matches(labels.Set(pod))
}

// Whatever selects pods selects those that it is meant for, and no port is open to everybody.
func TestSelectorsFindTheirPods(t *testing.T) {
	t.Parallel()
	i := base(t)
	pods := i.templates()
	find := func(selector *metav1.LabelSelector) (found []string) {
		for _, name := range slices.Sorted(maps.Keys(pods)) {
			if selects(t, selector, pods[name].Labels) {
				found = append(found, strings.TrimPrefix(strings.TrimPrefix(name, "Deployment invoicer-"), "Job invoicer-"))
			}
		}
		return found
	}
	want := map[string][]string{
		"invoicer-none": {"serve", "worker", "migrate"}, "invoicer-names": {"serve", "worker", "migrate"}, "invoicer-database": {"serve", "worker", "migrate"},
		"invoicer-redis": {"serve", "worker"}, "invoicer-metrics": {"worker"}, "invoicer-pages": {"serve"},
	}
	for _, p := range i.policies {
		if got := find(&p.Spec.PodSelector); !slices.Equal(got, want[p.Name]) {
			t.Errorf("the policy %s is for %q", p.Name, got)
		}
		for _, rule := range p.Spec.Ingress {
			if len(rule.From) == 0 || len(rule.Ports) == 0 {
				t.Errorf("the policy %s lets everybody in", p.Name)
			}
		}
		for _, rule := range p.Spec.Egress {
			if len(rule.Ports) == 0 {
				t.Errorf("the policy %s lets pods reach every port", p.Name)
			}
		}
		delete(want, p.Name)
	}
	if len(want) > 0 {
		t.Errorf("policies are missing: %v", want)
	}
	for _, b := range i.budgets {
		if got := find(b.Spec.Selector); !slices.Equal(got, []string{strings.TrimPrefix(b.Name, "invoicer-")}) {
			t.Errorf("the budget %s is for %q", b.Name, got)
		}
	}
	for _, s := range i.services {
		if got := find(&metav1.LabelSelector{MatchLabels: s.Spec.Selector}); !slices.Equal(got, []string{"serve"}) {
			t.Errorf("the service %s is for %q", s.Name, got)
		}
	}
	for _, d := range i.deployments {
		if got := find(d.Spec.Selector); len(got) != 1 {
			t.Errorf("the deployment %s is of %q", d.Name, got)
		}
		if *d.Spec.Replicas != 2 {
			t.Errorf("the deployment %s has %d pods", d.Name, *d.Spec.Replicas)
		}
	}
	if len(i.budgets) != 2 || len(i.services) != 1 || len(i.policies) != 6 {
		t.Errorf("there are %d budgets, %d services, %d policies", len(i.budgets), len(i.services), len(i.policies))
	}
}

// Workers are scaled by what waits and by how long the oldest has waited, between bounds that KEDA accepts.
func TestScaling(t *testing.T) {
	t.Parallel()
	i := withKEDA(t)
	if len(i.scaled) != 1 {
		t.Fatalf("there are %d ScaledObjects", len(i.scaled))
	}
	s := i.scaled[0]
	must(t, kedav1alpha1.CheckReplicaCountBoundsAreValid(s))
	must(t, kedav1alpha1.CheckFallbackValid(s))
	target := false
	for _, d := range i.deployments {
		if d.Name == s.Spec.ScaleTargetRef.Name {
			target = true
			if d.Spec.Replicas != nil {
				t.Error("the deployment states a number of pods, which an apply would restore")
			}
		}
	}
	if !target {
		t.Errorf("there is no deployment %s", s.Spec.ScaleTargetRef.Name)
	}
	if *s.Spec.MinReplicaCount < 1 {
		t.Error("there may be no worker, and with it no metric and no relay")
	}
	for _, trigger := range s.Spec.Triggers {
		for key := range trigger.Metadata { // KEDA overlooks what it doesn't know
			if !slices.Contains([]string{"serverAddress", "query", "threshold", "activationThreshold", "ignoreNullValues"}, key) {
				t.Errorf("%s: KEDA's Prometheus trigger has no %s", trigger.Name, key)
			}
		}
		if trigger.Type != "prometheus" || trigger.Metadata["ignoreNullValues"] != "false" {
			t.Errorf("%s: %s %v", trigger.Name, trigger.Type, trigger.Metadata)
		}
		for _, key := range []string{"threshold", "activationThreshold"} {
			if _, err := strconv.ParseFloat(trigger.Metadata[key], 64); err != nil {
				t.Errorf("%s: %s: %v", trigger.Name, key, err)
			}
		}
	}
	queries := queriesOf(s)
	if len(queries) != 2 || !strings.Contains(queries[0], "invoicer_queue_pending") || !strings.Contains(queries[1], "invoicer_ledger_oldest_seconds") {
		t.Errorf("it asks %q", queries)
	}
}

func queriesOf(s *kedav1alpha1.ScaledObject) (list []string) {
	for _, trigger := range s.Spec.Triggers {
		list = append(list, trigger.Metadata["query"])
	}
	return list
}
