package control_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// wantRaised checks the class and the text of an exception.
func wantRaised(t *testing.T, err error, class, text string) {
	t.Helper()
	var e *values.Exception
	if !errors.As(err, &e) {
		t.Fatalf("%v, want a %s", err, class)
	}
	if len(e.Args) != 1 || e.Class != class || e.Args[0] != text {
		t.Errorf("raised %s%q, want %s(%q)", e.Class, e.Args, class, text)
	}
}

func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// flat makes lists of tuples and sets: not every serializer keeps them apart.
func flat(v values.Value) values.Value {
	list := func(items []values.Value) values.Value {
		out := values.List{}
		for _, i := range items {
			out = append(out, flat(i))
		}
		return out
	}
	switch v := v.(type) {
	case values.Tuple:
		return list(v)
	case values.List:
		return list(v)
	case values.Set:
		return list(v)
	case values.Dict:
		out := values.Dict{}
		for _, p := range v {
			out = append(out, values.Pair{Key: p.Key, Value: flat(p.Value)})
		}
		return out
	}
	return v
}

// sorted sorts the strings in all lists, since sets have no order.
func sorted(v values.Value) values.Value {
	switch v := flat(v).(type) {
	case values.List:
		slices.SortFunc(v, func(a, b values.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return v
	case values.Dict:
		for i := range v {
			v[i].Value = sorted(v[i].Value)
		}
		return v
	default:
		return v
	}
}

// wantEnd checks that the daemon has closed the connection, orderly.
func wantEnd(t *testing.T, p *peer) {
	t.Helper()
	if m, err := p.Next(); err != io.EOF {
		t.Errorf("got %+v, %v instead of the end", m, err)
	}
}
