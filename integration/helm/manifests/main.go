// Command manifests reads Kubernetes objects from standard input, as YAML documents, and
// complains about each that Kubernetes would not take as it stands: of a kind that it does not
// know, or with a field that its kind does not have or has twice.
//
// It is for the tests of the chart, which run it. It knows the types of the client library, and
// not what else a server checks.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	if err := check(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check returns what is wrong with any of the documents.
func check(r io.Reader) error {
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	docs := yaml.NewYAMLReader(bufio.NewReader(r))
	var problems []error
	n := 0
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		n++
		if _, _, err := strict.Decode(doc, nil, nil); err != nil {
			problems = append(problems, fmt.Errorf("document %d: %w", n, err))
		}
	}
	if n == 0 {
		return errors.New("no document")
	}
	return errors.Join(problems...)
}
