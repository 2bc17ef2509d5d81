package helm

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/pyro-dispatch/pyro-dispatch/config"
)

// manifest is what the tests ask of any object.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Ports    []port
		Selector map[string]yaml.Node
		Template struct {
			Metadata struct {
				Annotations map[string]string
				Labels      map[string]string
			}
		}
	}

	node yaml.Node
}

// port is a port of a Service.
type port struct {
	Name       string
	Port       int
	TargetPort string `yaml:"targetPort"`
	NodePort   int    `yaml:"nodePort"`
}

// pod is what the tests ask of a pod's specification.
type pod struct {
	EnableServiceLinks            *bool  `yaml:"enableServiceLinks"`
	AutomountServiceAccountToken  *bool  `yaml:"automountServiceAccountToken"`
	ServiceAccountName            string `yaml:"serviceAccountName"`
	TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               struct {
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
	} `yaml:"securityContext"`
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
}

type container struct {
	Image string
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Env []struct{ Name string }
	// With envFrom the names are elsewhere, out of sight of the tests.
	EnvFrom        []yaml.Node `yaml:"envFrom"`
	LivenessProbe  probe       `yaml:"livenessProbe"`
	ReadinessProbe probe       `yaml:"readinessProbe"`
	Lifecycle      struct {
		PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
	}
	SecurityContext struct {
		AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
		Privileged               bool
		Capabilities             struct{ Add, Drop []string }
	} `yaml:"securityContext"`
}

// port returns the number of a port, or 0.
func (c container) port(name string) int {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// manifests parses what helm rendered.
func manifests(tb testing.TB, text string) []manifest {
	tb.Helper()
	var all []manifest
	dec := yaml.NewDecoder(strings.NewReader(text))
	for {
		var m manifest
		if err := dec.Decode(&m.node); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			tb.Fatal(err)
		}
		if err := m.node.Decode(&m); err != nil {
			tb.Fatal(err)
		}
		all = append(all, m)
	}
	if len(all) == 0 {
		tb.Fatal("nothing was rendered")
	}
	return all
}

// only returns the manifest of a kind of which there is one.
func only(tb testing.TB, all []manifest, kind string) manifest {
	tb.Helper()
	var found []manifest
	for _, m := range all {
		if m.Kind == kind {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		tb.Fatalf("%d objects of kind %s: want 1", len(found), kind)
	}
	return found[0]
}

// pods returns the specification of every pod, in whatever kind of object it is: a mapping
// with containers.
func pods(tb testing.TB, all []manifest) []pod {
	tb.Helper()
	var found []pod
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		for i, child := range n.Content {
			walk(child)
			if n.Kind != yaml.MappingNode || i%2 != 0 || child.Value != "containers" {
				continue
			}
			var p pod
			if err := n.Decode(&p); err != nil {
				tb.Fatal(err)
			}
			found = append(found, p)
		}
	}
	for _, m := range all {
		walk(&m.node)
	}
	if len(found) == 0 {
		tb.Fatal("no pod was rendered")
	}
	return found
}

// fileOf returns the dispatcher's configuration file out of the ConfigMap.
func fileOf(tb testing.TB, all []manifest) []byte {
	tb.Helper()
	doc, ok := only(tb, all, "ConfigMap").Data["pyro-dispatch.yaml"]
	if !ok {
		tb.Fatal("the ConfigMap has no pyro-dispatch.yaml")
	}
	return []byte(doc)
}

// configOf returns that file as the dispatcher reads it, which must be content with it.
func configOf(tb testing.TB, all []manifest) *config.Config {
	tb.Helper()
	doc := fileOf(tb, all)
	c, err := config.Load("pyro-dispatch.yaml", doc)
	if err != nil {
		tb.Fatalf("%v\n%s", err, bytes.TrimSpace(doc))
	}
	if problems := c.Validate(); len(problems) > 0 {
		tb.Fatalf("%v\n%s", problems, bytes.TrimSpace(doc))
	}
	return c
}
