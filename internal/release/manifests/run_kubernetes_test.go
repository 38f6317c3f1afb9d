package manifests_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A cluster runs the pods of an installation, one after the other, with the values that secrets would have.
type cluster struct {
	*site
	*image
	*installation
	secrets map[string]string // "secret/key" → value
	ports   map[string]string // that the manifest names → that is free here
}

// TestHeavyKubernetes runs the pods as Kubernetes would: the image's own files alone, in which nothing can be written, the user, arguments and
// environment of the manifests, and the files of their volumes. It asks on the probes' paths, has an invoice made, and stops each as a
// node does. Only the servers' addresses and the ports are others.
func TestHeavyKubernetes(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	k := &cluster{site: s, image: unpacked(t), installation: base(t), ports: map[string]string{"8080": freePort(t), "8443": freePort(t)}}
	s.protect(t, "hush")
	// What docs/operations.md has the administrator do once.
	k.run(t, "roles", []string{"roles", "--apply"}, []string{"INVOICER_DATABASE_URL=" + s.postgres.URL})
	k.secrets = map[string]string{"invoicer-redis/url": s.moved(t, "redis://:hush@redis:6379/0")}
	for login, of := range map[string]string{"migrate": "migrator", "worker": "worker", "serve": "api", "operator": "operator"} {
		s.exec(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'pw-%[1]s' IN ROLE invoicer_%s", login, of))
		k.secrets["invoicer-"+login+"/database-url"] = s.moved(t, "postgres://"+login+":pw-"+login+"@db:5432/invoicer?sslmode=disable")
	}
	s.exec(t, "ALTER ROLE migrate SET role = 'invoicer_migrator'")
	cert, key := certificate(t)
	for range 2 { // a job may be run again
		job := k.templates()["Job invoicer-migrate"].Spec
		for _, c := range slices.Concat(job.InitContainers, job.Containers) {
			k.run(t, c.Name, c.Args, k.environ(t, c))
		}
	}
	for _, m := range k.templates()["Deployment invoicer-serve"].Spec.Containers[0].VolumeMounts {
		k.mount(t, m, map[string][]byte{"tls.crt": cert, "tls.key": key})
	}
	before := k.files(t)
	k.runWorker(t)
	k.runServe(t)
	if after := k.files(t); after != before {
		t.Errorf("files were written:\n%s\nbefore:\n%s", after, before)
	}
}

// mount puts the files of a secret where the pages find them.
func (k *cluster) mount(t *testing.T, m corev1.VolumeMount, files map[string][]byte) {
	t.Helper()
	volumes := k.templates()["Deployment invoicer-serve"].Spec.Volumes
	volume := volumes[slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == m.Name })]
	if volume.Secret == nil || volume.Secret.SecretName != "invoicer-tls" {
		t.Fatalf("the volume %s is %v", m.Name, volume)
	}
	for name, content := range files {
		k.put(t, m.MountPath+"/"+name, content, fs.FileMode(*volume.Secret.DefaultMode))
	}
}

// runWorker has a worker make an invoice, and asks it for what KEDA asks.
func (k *cluster) runWorker(t *testing.T) {
	t.Helper()
	pod := k.worker(t)
	w := k.ready(t, pod)
	k.invoices(t, "T1")
	code, body, err := get(t, "http://127.0.0.1:"+k.ports["8080"]+pod.Annotations["prometheus.io/path"])
	must(t, err)
	if port := pod.Annotations["prometheus.io/port"]; code != http.StatusOK || port != "8080" || !strings.Contains(body, `version="v0.0.0"`) || !strings.Contains(body, `revision="test"`) {
		t.Errorf("metrics: %d, at %s: %.200s", code, port, body)
	}
	for _, query := range queriesOf(withKEDA(t).scaled[0]) {
		for _, name := range metricsIn(query) {
			if !strings.Contains(body, "\n"+name+"{") && !strings.Contains(body, "\n"+name+" ") {
				t.Errorf("KEDA asks for %s, which a worker doesn't tell", name)
			}
		}
	}
	if code, body, err := get(t, "http://127.0.0.1:"+k.ports["8080"]+"/"); err != nil || code != http.StatusForbidden {
		t.Errorf("pages without TLS: %d %s", code, body)
	}
	k.stop(t, pod, w)
}

// runServe asks for the pages, which want a token, and makes one.
func (k *cluster) runServe(t *testing.T) {
	t.Helper()
	pod := k.templates()["Deployment invoicer-serve"]
	p := k.ready(t, pod)
	if code, body, err := get(t, "https://127.0.0.1:"+k.ports["8443"]+"/jobs"); err != nil || code != http.StatusForbidden || !strings.Contains(body, "invoicer token make") {
		t.Errorf("pages without a token: %d %s %v", code, body, err)
	}
	token := k.run(t, "token", []string{"token", "make", "--role", "read", "--name", "ada"}, []string{"INVOICER_DATABASE_URL=" + k.secrets["invoicer-operator/database-url"]})
	if strings.TrimSpace(token) == "" {
		t.Error("the operator can't make a token")
	}
	k.stop(t, pod, p)
}

// environ returns a container's environment, as the kubelet puts it together.
func (k *cluster) environ(t *testing.T, c corev1.Container) (list []string) {
	t.Helper()
	for _, from := range c.EnvFrom {
		found := false
		for _, config := range k.configs {
			if config.Name == from.ConfigMapRef.Name {
				found = true
				for name, value := range config.Data {
					list = append(list, name+"="+value)
				}
			}
		}
		if !found {
			t.Fatalf("there is no ConfigMap %s", from.ConfigMapRef.Name)
		}
	}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			name := e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
			if value = k.secrets[name]; value == "" {
				t.Fatalf("%s has no value", name)
			}
		}
		if e.Name == "INVOICER_HTTP_ADDR" {
			value = ":" + k.ports[strings.TrimPrefix(value, ":")]
		}
		list = append(list, e.Name+"="+value)
	}
	return list
}

// ready starts a pod, and returns once its probes have succeeded, within the time that they give.
func (k *cluster) ready(t *testing.T, pod corev1.PodTemplateSpec) *container {
	t.Helper()
	c := pod.Spec.Containers[0]
	if *pod.Spec.SecurityContext.RunAsUser != user || *pod.Spec.SecurityContext.RunAsGroup != user || *pod.Spec.SecurityContext.FSGroup != user {
		t.Fatalf("the pod runs as %v", pod.Spec.SecurityContext)
	}
	process := k.start(t, c.Name, c.Args, k.environ(t, c))
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		within := max(time.Duration(probe.PeriodSeconds*probe.FailureThreshold)*time.Second, 30*time.Second)
		eventually(t, within, func() error {
			scheme := "http"
			if probe.HTTPGet.Scheme != "" {
				scheme = strings.ToLower(string(probe.HTTPGet.Scheme))
			}
			address := fmt.Sprintf("%s://127.0.0.1:%s%s", scheme, k.ports[fmt.Sprint(portOf(c, probe))], probe.HTTPGet.Path)
			code, body, err := get(t, address)
			if err == nil && code != http.StatusOK {
				err = fmt.Errorf("%s answers %d %s", address, code, body)
			}
			return err
		})
	}
	for _, more := range [][]string{nil, {"--ready"}} {
		if code := k.healthcheck(t, k.environ(t, c), more...); code != 0 {
			t.Errorf("health %v of %s exits with %d", more, c.Name, code)
		}
	}
	return process
}

// stop ends a pod as its node does, after the sleep.
func (k *cluster) stop(t *testing.T, pod corev1.PodTemplateSpec, process *container) {
	t.Helper()
	c := pod.Spec.Containers[0]
	must(t, process.Process.Signal(syscall.SIGTERM))
	if code := process.exit(t, grace(pod.Spec)-time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second); code != 0 {
		t.Errorf("%s exits with %d", c.Name, code)
	}
	if code := k.healthcheck(t, k.environ(t, c)); code != 1 {
		t.Errorf("health of %s, which has ended, exits with %d", c.Name, code)
	}
}
