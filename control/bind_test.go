package control_test

import (
	"testing"

	"github.com/pyro-dispatch/pyro-dispatch/control"
	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// The texts are those of CPython 3.11 for a method f(self, a, b, c=None).
func TestBind(t *testing.T) {
	keyword := func(k string, v values.Value) values.Dict { return values.Dict{{Key: k, Value: v}} }
	for _, test := range []struct {
		args   []values.Value
		kwargs values.Dict
		want   []values.Value
		fails  string
	}{
		{args: []values.Value{"1", "2"}, want: []values.Value{"1", "2", nil}},
		{args: []values.Value{"1"}, kwargs: keyword("b", "2"), want: []values.Value{"1", "2", nil}},
		{args: []values.Value{"1", "2"}, kwargs: keyword("c", "3"), want: []values.Value{"1", "2", "3"}},
		{fails: "C.f() missing 2 required positional arguments: 'a' and 'b'"},
		{args: []values.Value{"1"}, fails: "C.f() missing 1 required positional argument: 'b'"},
		{args: []values.Value{"1", "2", "3", "4"}, fails: "C.f() takes from 3 to 4 positional arguments but 5 were given"},
		{args: []values.Value{"1", "2"}, kwargs: keyword("a", "3"), fails: "C.f() got multiple values for argument 'a'"},
		{args: []values.Value{"1", "2"}, kwargs: keyword("d", "3"), fails: "C.f() got an unexpected keyword argument 'd'"},
	} {
		got, err := control.Bind("C.f", []string{"a", "b", "c"}, 2, test.args, test.kwargs)
		if test.fails != "" {
			wantRaised(t, err, "builtins.TypeError", test.fails)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "bound", got, test.want)
	}
	_, err := control.Bind("C.g", nil, 0, []values.Value{"1"}, nil)
	wantRaised(t, err, "builtins.TypeError", "C.g() takes 1 positional argument but 2 were given")
	_, err = control.Bind("C.h", []string{"a", "b", "c"}, 3, nil, nil)
	wantRaised(t, err, "builtins.TypeError", "C.h() missing 3 required positional arguments: 'a', 'b', and 'c'")
}
