package handshake

import "github.com/pyro-dispatch/pyro-dispatch/pymarshal"

// In marshal data and pickles a value can be mentioned again, with all that is inside it. Writing that out could take
// exponential time, and even hashing one long string at each mention takes quadratic. So each value is summed up
// once. One that is mentioned inside itself counts there as what is known of it by then.

// marshalSum adds up the strings of a marshalled value. Like marshal.loads it ignores what follows.
func marshalSum(data []byte, t *tally, lim Limits) (sum, error) {
	w := marshalWalker{
		reader:  pymarshal.NewReader(data, pymarshal.Limits{Depth: lim.Depth, Items: lim.Items}),
		strings: t,
	}
	v, err := w.reader.Next()
	if err != nil {
		return sum{}, marshalError(err)
	}
	s, err := w.sum(v, lim.Depth)
	return s, marshalError(err)
}

type marshalWalker struct {
	reader  pymarshal.Reader
	strings *tally
}

// sum reads what is left of v, and adds up its strings.
func (w *marshalWalker) sum(v pymarshal.Value, depth int) (sum, error) {
	if v.Ref {
		return *w.strings.at(v.Place), nil
	}
	if v.Place != 0 {
		w.strings.keep(sum{}) // the places are given out in this order
	}
	var s sum
	switch v.Kind {
	case pymarshal.Other, pymarshal.None, pymarshal.Bool, pymarshal.Int, pymarshal.Float, pymarshal.Complex:
	case pymarshal.Text, pymarshal.Bytes:
		s = stringSum(v.Data)
	case pymarshal.Tuple, pymarshal.List, pymarshal.Set, pymarshal.Slice, pymarshal.Dict:
		if depth <= 0 {
			return sum{}, tooDeep(w.reader.Offset())
		}
		var err error
		if s, err = w.items(v, depth-1); err != nil {
			return sum{}, err
		}
	default:
		return sum{}, malformed("no value where one is due", w.reader.Offset())
	}
	if v.Place != 0 {
		*w.strings.at(v.Place) = s
	}
	return s, nil
}

func (w *marshalWalker) items(v pymarshal.Value, depth int) (sum, error) {
	var s sum
	for n := 0; v.Kind == pymarshal.Dict || n < v.Len; n++ {
		item, err := w.reader.Next()
		if err != nil {
			return sum{}, err
		}
		if v.Kind == pymarshal.Dict && item.Kind == pymarshal.End && n%2 == 0 {
			break
		}
		itemSum, err := w.sum(item, depth)
		if err != nil {
			return sum{}, err
		}
		s.add(itemSum)
	}
	return s, nil
}

// pickleSum adds up the strings of the value that a pickle would make. Like pickle.loads it ignores what follows.
func pickleSum(data []byte, t *tally, lim Limits) (sum, error) {
	m := pickleMachines.Get().(*pickleMachine)
	defer m.release()
	m.data, m.items, m.strings = data, lim.Items, t
	top, err := m.run()
	if err != nil {
		return sum{}, err
	}
	return m.total([]pickled{top}), nil
}

// sumOfString keeps the sum of one string, and returns its place.
func (m *pickleMachine) sumOfString(v pickled) (uint32, error) {
	if m.strings == nil {
		return 0, nil
	}
	s, err := m.decode(v, &m.strings.scratch)
	if err != nil {
		return 0, err
	}
	return m.keep(stringSum(s))
}

// total adds up what values hold.
func (m *pickleMachine) total(values []pickled) sum {
	var s sum
	if m.strings == nil {
		return s
	}
	for _, v := range values {
		if v.sum != 0 {
			s.add(*m.strings.at(int(v.sum)))
		}
	}
	return s
}

// keep keeps s and returns its place. Every container gets one, even if it is empty: there may be more to come.
func (m *pickleMachine) keep(s sum) (uint32, error) {
	if m.strings == nil {
		return 0, nil
	}
	if len(m.strings.sums) >= m.items {
		return 0, m.tooMany()
	}
	return uint32(m.strings.keep(s)), nil
}

// addTo adds what items hold to what target does, wherever else that is in use.
func (m *pickleMachine) addTo(target pickled, items []pickled) {
	if target.sum != 0 {
		m.strings.at(int(target.sum)).add(m.total(items))
	}
}
