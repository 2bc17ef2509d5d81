package main

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/pyro-dispatch/pyro-dispatch/blob"
	"github.com/pyro-dispatch/pyro-dispatch/config"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// What routes of calls are made of.

// exactly is the pattern that only id matches.
func exactly(id string) router.Glob {
	var b strings.Builder
	for _, c := range id {
		if strings.ContainsRune(`*?[\`, c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	g, err := router.CompileGlob(b.String())
	if err != nil {
		panic("an escaped pattern is refused: " + err.Error())
	}
	return g
}

// deliverOf is what becomes of the calls of r.
func deliverOf(r *config.Route, c *config.Cluster) (d router.Deliver, err error) {
	d = router.Deliver{
		To: toOf(r.Delivery), Quorum: quorumOf(r.Wait), Unheard: r.NoListener == config.NoListenerNone,
		Handshake: c.Handshake,
	}
	if d.Object, err = templateOf(r.Rewrite.Object); err != nil {
		return d, err
	}
	d.Method, err = templateOf(r.Rewrite.Method)
	return d, err
}

func toOf(d config.Delivery) router.To {
	switch d {
	case config.DeliverAll:
		return router.ToAll
	case config.DeliverFirst:
		return router.ToFirst
	}
	return router.ToOne
}

func quorumOf(w config.Wait) int {
	if n, ok := w.Quorum(); ok {
		return n
	}
	if w == config.WaitNone {
		return -1
	}
	return 0
}

func templateOf(t config.Template) (*blob.Template, error) {
	if t == "" {
		return nil, nil
	}
	parsed, err := blob.ParseTemplate(string(t))
	return &parsed, err
}

// callMatchOf is what a call must be like to take r; nil where r is one of clients.
func callMatchOf(m *config.Match) (*router.CallMatch, error) {
	if !m.PerCall() {
		return nil, nil
	}
	match := &router.CallMatch{Blob: len(m.Blob) > 0}
	for _, c := range m.Blob {
		f, err := fieldOf(&c)
		if err != nil {
			return nil, err
		}
		match.Fields = append(match.Fields, f)
	}
	for _, c := range m.Annotation {
		a := router.AnnotationMatch{ID: [4]byte([]byte(c.Key))}
		for _, v := range c.Any {
			g, err := router.CompileGlob(string(v.Pattern()))
			if err != nil {
				return nil, err
			}
			a.Globs = append(a.Globs, g)
		}
		match.Annotations = append(match.Annotations, a)
	}
	return match, nil
}

func fieldOf(c *config.Condition) (f router.FieldMatch, err error) {
	switch c.Key {
	case "object":
		f.Field = router.ObjectField
	case "method":
		f.Field = router.MethodField
	default:
		if f.Path, err = blob.ParsePath(c.Key); err != nil {
			return f, err
		}
	}
	for _, v := range c.Any {
		if v.Number {
			n, err := numberOf(v.Text)
			if err != nil {
				return f, err
			}
			f.Numbers = append(f.Numbers, n)
			continue
		}
		g, err := router.CompileGlob(string(v.Pattern()))
		if err != nil {
			return f, err
		}
		f.Globs = append(f.Globs, g)
	}
	return f, nil
}

func numberOf(text string) (blob.Scalar, error) {
	if n, ok := new(big.Int).SetString(text, 10); ok {
		return blob.BigScalar(n), nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return blob.Scalar{}, err
	}
	s, ok := blob.FloatScalar(x)
	if !ok {
		return s, fmt.Errorf("%s equals no number", text)
	}
	return s, nil
}
