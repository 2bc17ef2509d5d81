package pymarshal

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// maxHashing bounds the values that a Python would look at to hash the keys of dicts and members of sets. A tuple is
// hashed each time anew with all that is in it, so that a few references make a kilobyte take years.
const maxHashing = 1 << 17

// Checker is a Reader of data that somebody else is going to give to marshal.loads. It refuses all that makes
// that fail on every Python, beyond what a Reader cannot read: text that is not UTF-8, lists and their like as keys or
// members, sets that refer to themselves, and forms of Python 2 beside those of Python 3.
//
// It is stricter than CPython where CPython crashes, or takes what no Python writes: a tuple in its own hash, ASCII with other bytes,
// interned strings that are not UTF-8, a dict that ends where a value is due.
type Checker struct {
	r       Reader
	values  int // read so far
	hashing int // values looked at for hashes
	few     [16]size
	more    []size // by place, behind few
}

// size is the number of values that a hash has to look at. It is 0 for what has no hash.
type size int32

const incomplete size = -1 // its items are being read

// NewChecker returns a checker of data, which it keeps and never changes. It reads lim.Items values at most, whether
// or not they can be referred to.
func NewChecker(data []byte, lim Limits) Checker { return Checker{r: NewReader(data, lim)} }

// Offset is the number of bytes read so far.
func (c *Checker) Offset() int { return c.r.Offset() }

// HasRefs reports whether a reference was read, so that going back to what was read needs the values before it.
func (c *Checker) HasRefs() bool { return c.r.forms&formRef != 0 }

// Next reads one value, or the head of one, as Reader.Next does.
func (c *Checker) Next() (Value, error) {
	v, err := c.r.Next()
	if err != nil {
		return Value{}, err
	}
	if c.values++; c.values > c.r.lim.Items {
		return Value{}, fmt.Errorf("%w: too many values at byte %d", ErrLimit, c.r.pos)
	}
	switch both := formPython2 | formPython3; {
	case c.r.forms&both == both:
		return Value{}, c.r.malformed("a form of Python 2 beside one of Python 3")
	case v.Ref:
		return v, nil
	case v.Kind == Text && !validText(v.Data):
		return Value{}, c.r.malformed("text that is not UTF-8")
	case v.Place != 0:
		c.place(incomplete)
	}
	return v, nil
}

// Skip passes over what Next left unread of v, and checks that.
func (c *Checker) Skip(v Value) error {
	_, err := c.skip(v, c.r.lim.Depth)
	return err
}

func (c *Checker) skip(v Value, depth int) (size, error) {
	switch {
	case v.Kind <= End:
		return 0, c.r.malformed("no value where one is due")
	case !v.Kind.container():
		return 1 + size(len(v.Digits)/16), nil // strings keep their hash
	case v.Ref:
		return c.mentioned(v)
	case depth <= 0:
		return 0, fmt.Errorf("%w: nested too deep at byte %d", ErrLimit, c.r.pos)
	}
	sum, hashable := size(1), true
	var keySize size
	for n := 0; v.Kind == Dict || n < v.Len; n++ {
		item, err := c.Next()
		if err != nil {
			return 0, err
		}
		key := v.Kind == Dict && n%2 == 0
		if key && item.Kind == End {
			break
		}
		s, err := c.skip(item, depth-1)
		if err != nil {
			return 0, err
		}
		toHash := s
		if v.Kind == Dict {
			toHash, keySize = keySize, s // a key is hashed once its value is there
		}
		if v.Kind == Set || v.Kind == Dict && !key {
			if err := c.hash(toHash); err != nil {
				return 0, err
			}
		}
		hashable = hashable && s != 0
		sum += min(s, math.MaxInt32-sum)
	}
	if !hashable || v.typ == typeList || v.typ == typeDict || v.typ == typeSet {
		sum = 0
	}
	if v.Place != 0 {
		*c.at(v.Place) = sum
	}
	return sum, nil
}

// mentioned is the size of what a reference to a container means.
func (c *Checker) mentioned(v Value) (size, error) {
	s := *c.at(v.Place)
	if s != incomplete {
		return s, nil
	}
	if v.typ == typeFrozenSet || v.typ == typeSlice {
		return 0, c.r.malformed("reference to what is not complete")
	}
	return 0, nil // to hash it now would crash CPython, and later would not end
}

// hash counts what it takes to hash a value of this size.
func (c *Checker) hash(s size) error {
	if s == 0 {
		return c.r.malformed("key or member that cannot be hashed")
	}
	if c.hashing += int(s); c.hashing > maxHashing {
		return fmt.Errorf("%w: too much to hash at byte %d", ErrLimit, c.r.pos)
	}
	return nil
}

// place keeps the size of the value whose place was given out last.
func (c *Checker) place(s size) {
	if n := c.r.places; n <= len(c.few) {
		c.few[n-1] = s
	} else {
		if c.more == nil {
			c.more = make([]size, 0, 2*len(c.few))
		}
		c.more = append(c.more, s)
	}
}

func (c *Checker) at(place int) *size {
	if place <= len(c.few) {
		return &c.few[place-1]
	}
	return &c.more[place-1-len(c.few)]
}

// validText reports whether b is UTF-8 in which single surrogates may be encoded like other characters: Python's
// "surrogatepass".
func validText(b []byte) bool {
	if utf8.Valid(b) {
		return true
	}
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError && n == 1 {
			if len(b) < 3 || b[0] != 0xed || b[1]&0xe0 != 0xa0 || b[2]&0xc0 != 0x80 {
				return false
			}
			n = 3
		}
		b = b[n:]
	}
	return true
}
