package topics

import (
	"math"
	"math/big"
	"strconv"
	"unicode/utf8"

	"github.com/pyro-dispatch/pyro-dispatch/values"
)

// Topic is what a blob is about: its info. Text and numbers are different topics even
// where they look alike, as they are different keys of a dict in Python. It is
// comparable.
type Topic struct {
	Number bool
	Text   string // of a number, its decimal digits
}

// maxTopic is how long a topic may be, in bytes: it is part of a key in the store.
const maxTopic = 400

// String is the topic as Python writes it, more or less: text in quotes.
func (t Topic) String() string {
	if t.Number {
		return t.Text
	}
	return strconv.Quote(t.Text)
}

// Value is the topic in Python: a string or an integer.
func (t Topic) Value() values.Value {
	if !t.Number {
		return t.Text
	}
	i, ok := new(big.Int).SetString(t.Text, 10)
	switch {
	case !ok:
		return t.Text
	case i.IsInt64():
		return i.Int64()
	}
	return i
}

// TopicOf gives the topic that v is. True is 1 and 2.0 is 2, as for a dict in Python.
// The error is a *values.Exception: a TypeError for what is neither text nor a whole
// number, a ValueError for what is too long.
func TopicOf(v values.Value) (Topic, error) {
	var t Topic
	switch n := v.(type) {
	case bool:
		t = Topic{Number: true, Text: "0"}
		if n {
			t.Text = "1"
		}
	case int64:
		t = Topic{Number: true, Text: strconv.FormatInt(n, 10)}
	case int:
		t = Topic{Number: true, Text: strconv.Itoa(n)}
	case *big.Int:
		if n.BitLen() > 4*maxTopic {
			return Topic{}, raise("builtins.ValueError", "the topic is a number of more than %d digits", maxTopic)
		}
		t = Topic{Number: true, Text: n.String()}
	case float64:
		if n != math.Trunc(n) || math.IsInf(n, 0) {
			return Topic{}, raise("builtins.TypeError", "a topic is text or a whole number, not %v", n)
		}
		i, _ := big.NewFloat(n).Int(nil)
		t = Topic{Number: true, Text: i.String()}
	default:
		text, ok := values.Text(v)
		if !ok {
			return Topic{}, raise("builtins.TypeError", "a topic is text or a whole number, not %s", typeName(v))
		}
		t.Text = text
	}
	if len(t.Text) > maxTopic {
		return Topic{}, raise("builtins.ValueError", "the topic is %d bytes long, more than %d", len(t.Text), maxTopic)
	}
	if !utf8.ValidString(t.Text) {
		return Topic{}, raise("builtins.ValueError", "the topic is not valid Unicode")
	}
	return t, nil
}

// typeName is what Python calls the type.
func typeName(v values.Value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case []byte:
		return "bytes"
	case values.Tuple:
		return "a tuple"
	case values.List:
		return "a list"
	case values.Set:
		return "a set"
	case values.Dict:
		return "a dict"
	case values.Instance:
		return "an object of class " + strconv.Quote(clip(v.Class))
	case values.URI:
		return "a URI"
	case values.Proxy:
		return "a proxy"
	case bool, int, int64, float64, complex128, *big.Int:
		return "a number"
	}
	return "that"
}

// clip shortens what a client sent for a message.
func clip(text string) string {
	if len(text) > 100 {
		return text[:100] + "..."
	}
	return text
}
