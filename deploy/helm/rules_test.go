package helm

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const minimal = "testdata/minimal.yaml"

// serviceName is what Kubernetes takes as the name of a Service.
var serviceName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// TestNames wants no object to begin with pyro, whatever the release is called: the
// variables that Kubernetes makes of such a Service kill every Pyro5 process in its namespace.
func TestNames(t *testing.T) {
	for _, tt := range []struct{ release, want string }{
		{"lab", "lab-dispatch-gateway"},
		{"dispatch-gateway", "dispatch-gateway"},
		{"my-dispatch-gateway-2", "my-dispatch-gateway-2"},
		{"pyro", "dispatch-gateway-pyro"},
		{"pyro5", "dispatch-gateway-pyro5"},
		{"pyro-dispatch", "dispatch-gateway-pyro-dispatch"},
		{"pyro.lab", "dispatch-gateway-pyro-lab"},
		{"pyro-dispatch-gateway", "dispatch-gateway-pyro-dispatch-gateway"},
		{"lab-pyro", "lab-pyro-dispatch-gateway"},
		{"lab.west", "lab-west-dispatch-gateway"},
		{"2nd", "dispatch-gateway-2nd"},
		{strings.Repeat("r", 53), strings.Repeat("r", 53) + "-dispatch"},
		{"pyro" + strings.Repeat("o", 49), "dispatch-gateway-pyro" + strings.Repeat("o", 42)},
	} {
		t.Run(tt.release, func(t *testing.T) {
			all := manifests(t, rendered(t, tt.release, "--values", "testdata/outside.yaml", "--values", "testdata/consul.yaml"))
			for _, m := range all {
				if strings.HasPrefix(m.Metadata.Name, "pyro") || m.Metadata.Name == "" {
					t.Errorf("%s is called %q", m.Kind, m.Metadata.Name)
				}
			}
			name := only(t, all, "Service").Metadata.Name
			if name != tt.want || len(name) > 63 || !serviceName.MatchString(name) {
				t.Errorf("the Service is called %q: want %q", name, tt.want)
			}
		})
	}
}

// TestOverriddenNames wants the same where values give the name, or a part of it.
func TestOverriddenNames(t *testing.T) {
	for _, tt := range []struct{ release, set, want string }{
		{"lab", "nameOverride=gate", "lab-gate"},
		{"lab", "nameOverride=pyro", "lab-pyro"},
		{"pyro-lab", "nameOverride=pyro-lab", "dispatch-gateway-pyro-lab"},
		{"pyro-lab", "fullnameOverride=gate", "gate"},
	} {
		all := manifests(t, rendered(t, tt.release, "--values", minimal, "--set", tt.set))
		if name := only(t, all, "Service").Metadata.Name; name != tt.want {
			t.Errorf("%s with %s: the Service is called %q: want %q", tt.release, tt.set, name, tt.want)
		}
	}
}

// TestPods wants every pod to be shut off from what is not its own.
func TestPods(t *testing.T) {
	for _, file := range values(t) {
		t.Run(file, func(t *testing.T) {
			all := manifests(t, rendered(t, "pyro-lab", "--values", file))
			for _, p := range pods(t, all) {
				if p.EnableServiceLinks == nil || *p.EnableServiceLinks {
					t.Error("enableServiceLinks is not false")
				}
				if p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken {
					t.Error("the pod mounts the token of its ServiceAccount")
				}
				if !p.SecurityContext.RunAsNonRoot {
					t.Error("the pod may run as root")
				}
				for _, c := range slices.Concat(p.InitContainers, p.Containers) {
					checkContainer(t, c)
				}
			}
		})
	}
}

func checkContainer(t *testing.T, c container) {
	t.Helper()
	for _, v := range c.Env {
		if strings.HasPrefix(v.Name, "PYRO_") {
			t.Errorf("the variable %s would kill a Pyro", v.Name)
		}
	}
	if len(c.EnvFrom) > 0 {
		t.Error("envFrom brings variables that nobody can foresee")
	}
	s := c.SecurityContext
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Privileged || len(s.Capabilities.Add) > 0 ||
		!slices.Equal(s.Capabilities.Drop, []string{"ALL"}) || !s.ReadOnlyRootFilesystem {
		t.Errorf("the container may do more than it needs: %+v", s)
	}
	for _, p := range c.Ports {
		if p.ContainerPort < 1024 {
			t.Errorf("port %d needs a privilege", p.ContainerPort)
		}
	}
	if c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("probed at %q and %q", c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path)
	}
	for _, p := range []probe{c.LivenessProbe, c.ReadinessProbe} {
		if c.port(p.HTTPGet.Port) == 0 {
			t.Errorf("the probe of %s asks a port %q that the container does not have", p.HTTPGet.Path, p.HTTPGet.Port)
		}
	}
}

// TestService wants each port of the Service to lead to one of the pod's, never to the
// admin server, and the Service to select the pods.
func TestService(t *testing.T) {
	for _, file := range values(t) {
		t.Run(file, func(t *testing.T) {
			all := manifests(t, rendered(t, "lab", "--values", file))
			service, target := only(t, all, "Service"), pods(t, all)[0].Containers[0]
			for _, p := range service.Spec.Ports {
				if target.port(p.TargetPort) == 0 || p.TargetPort == "admin" {
					t.Errorf("port %d leads to %q", p.Port, p.TargetPort)
				}
			}
			labels := only(t, all, "Deployment").Spec.Template.Metadata.Labels
			for key, node := range service.Spec.Selector {
				if labels[key] != node.Value {
					t.Errorf("the Service selects %s=%s, the pods have %q", key, node.Value, labels[key])
				}
			}
			if len(service.Spec.Ports) == 0 || len(service.Spec.Selector) == 0 {
				t.Error("the Service leads nowhere")
			}
		})
	}
}

// TestGracePeriod wants Kubernetes to wait until a pod has drained.
func TestGracePeriod(t *testing.T) {
	for _, drain := range []string{"0s", "500ms", "30s", "1m30.5s", "1h2m3s4ms"} {
		t.Run(drain, func(t *testing.T) {
			all := manifests(t, rendered(t, "lab", "--values", minimal, "--set", "config.drain_timeout="+drain, "--set", "preStopSleepSeconds=7"))
			needed := configOf(t, all).DrainTimeout + 7*time.Second
			for _, p := range pods(t, all) {
				grace := time.Duration(p.TerminationGracePeriodSeconds) * time.Second
				if p.Containers[0].Lifecycle.PreStop.Sleep.Seconds != 7 || grace < needed+10*time.Second || grace > needed+11*time.Second {
					t.Errorf("killed after %s: want 10s more than %s", grace, needed)
				}
			}
		})
	}
}

// TestOldKubernetes wants no field that the oldest supported Kubernetes does not have.
func TestOldKubernetes(t *testing.T) {
	text := rendered(t, "lab", "--values", minimal, "--kube-version", "1.25.0")
	for _, p := range pods(t, manifests(t, text)) {
		if p.Containers[0].Lifecycle.PreStop.Sleep.Seconds != 0 {
			t.Error("preStop sleeps, which came with 1.30")
		}
	}
}

// TestChecksum wants pods to be replaced when their file changes, and only then.
func TestChecksum(t *testing.T) {
	consul := []string{"--values", "testdata/consul.yaml"}
	for _, tt := range []struct {
		name    string
		set     string
		changed bool
	}{
		{"drain timeout", "config.drain_timeout=31s", true},
		{"address of Consul", "consul.address=https://other.svc:8501", true},
		{"port of the admin server", "admin.port=9991", true},
		{"token, which is read anew", "consul.token.value=other", false},
		{"replicas", "replicas=5", false},
	} {
		before := checksum(t, consul...)
		if after := checksum(t, append(consul, "--set", tt.set)...); (after != before) != tt.changed {
			t.Errorf("%s: %s became %s: change wanted: %v", tt.name, before, after, tt.changed)
		}
	}
}

func checksum(t *testing.T, args ...string) string {
	t.Helper()
	deployment := only(t, manifests(t, rendered(t, "lab", args...)), "Deployment")
	sum := deployment.Spec.Template.Metadata.Annotations["checksum/config"]
	if len(sum) != 64 {
		t.Fatalf("the checksum is %q", sum)
	}
	return sum
}
