package blob

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
)

// seeds are annotations of the kinds that Pythons write, and of those that
// they choke on.
var seeds = []string{
	// CPython 3.11: ("objx", "objx", "meth") and a dict, in its default version.
	"\xa9\x03\xfa\x04objxr\x01\x00\x00\x00\xfa\x04meth",
	")\x03{\xda\x06tenant\xda\x04acme\xda\x01a[\x02\x00\x00\x00\xe9\x01\x00\x00\x00\xe9\x02\x00\x00\x000\xda\x06camera\xda\x04move",
	// CPython 2.7: str, unicode and interned.
	"(\x03\x00\x00\x00t\x06\x00\x00\x00cameraR\x00\x00\x00\x00t\x04\x00\x00\x00move",
	"(\x03\x00\x00\x00u\x05\x00\x00\x00caf\xc3\xa9s\x06\x00\x00\x00cameras\x04\x00\x00\x00move",
	"(\x03\x00\x00\x00I\x00\x00\x00\x00\x00\x01\x00\x00s\x06\x00\x00\x00cameras\x04\x00\x00\x00move",
	"(\x03\x00\x00\x00{t\x01\x00\x00\x00aR\x00\x00\x00\x000R\x00\x00\x00\x00t\x04\x00\x00\x00move",
	// Keys and members without a hash.
	")\x03{[\x00\x00\x00\x00N0z\x01oz\x01m",
	")\x03<\x01\x00\x00\x00[\x00\x00\x00\x00z\x01oz\x01m",
	")\x03>\x01\x00\x00\x00<\x00\x00\x00\x00z\x01oz\x01m",
	")\x03{)\x01)\x01{0N0z\x01oz\x01m",
	")\x03{>\x01\x00\x00\x00)\x01NN0z\x01oz\x01m",
	")\x03{[\x01\x00\x00\x00.0Z\x010Z\x00", // no value, so no hash
	// References to what is not complete.
	"\xa9\x03r\x00\x00\x00\x00z\x01oz\x01m", "\xa9\x03\xf2\x00\x00\x00\x00z\x01oz\x01m",
	"\xa9\x03{r\x00\x00\x00\x00N0z\x01oz\x01m",
	")\x03{\xa9\x01r\x00\x00\x00\x00N0z\x01oz\x01m",
	")\x03\xbe\x01\x00\x00\x00r\x00\x00\x00\x00z\x01oz\x01m",
	")\x03\xbc\x01\x00\x00\x00r\x00\x00\x00\x00z\x01oz\x01m",
	")\x03\xdb\x01\x00\x00\x00r\x00\x00\x00\x00z\x01oz\x01m",
	")\x03\xdb\x01\x00\x00\x00{r\x00\x00\x00\x00N0z\x01oz\x01m",
	// Numbers that are none, and equal ones.
	")\x03l\x02\x00\x00\x00\x01\x00\x00\x00z\x01oz\x01m",
	")\x03l\x01\x00\x00\x00\x00\x80z\x01oz\x01m",
	")\x03l\x00\x00\x00\x80z\x01oz\x01m",
	")\x03f\x041.5xz\x01oz\x01m", ")\x03f\x051\x0000xz\x01oz\x01m", ")\x03f\x00z\x01oz\x01m", ")\x03f\x04+nanz\x01oz\x01m",
	")\x03f\x03infz\x01oz\x01m", ")\x03f\x08Infinityz\x01oz\x01m", ")\x03f\x051e999z\x01oz\x01m", ")\x03f\x051e300z\x01oz\x01m",
	")\x03f\x03 1.z\x01oz\x01m", ")\x03f\x031_0z\x01oz\x01m", ")\x03f\x040x1fz\x01oz\x01m", ")\x03f\x040x1pz\x01oz\x01m",
	")\x03f\x061e-999z\x01oz\x01m", ")\x03f\x071.5e-07z\x01oz\x01m", ")\x03f\x091234567.5z\x01oz\x01m", ")\x03f\x060.0001z\x01oz\x01m",
	")\x03f\x070.00012z\x01oz\x01m", ")\x03f\x071.2e-05z\x01oz\x01m",
	")\x03g\x00\x00\x00\x00\x00\x00\xf0?z\x01oz\x01m",
	")\x03g\x00\x00\x00\x00\x00\x00\x00\x80z\x01oz\x01m",
	")\x03g\x00\x00\x00\x00\x00\x00\xe0\xc3z\x01oz\x01m", // -2**63
	")\x03g\x00\x00\x00\x00\x00\x00\xe0Cz\x01oz\x01m",    // 2**63
	")\x03l\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00z\x01oz\x01m",
	")\x03{Tz\x01x\xe9\x01\x00\x00\x00z\x01y0z\x01oz\x01m",
	")\x03{F\xda\x01xg\x00\x00\x00\x00\x00\x00\x00\x80\xda\x01yN\xe9\x01\x00\x00\x000z\x01oz\x01m",
	// Text.
	")\x03u\x03\x00\x00\x00\xed\xa0\x80z\x01oz\x01m",
	")\x03u\x06\x00\x00\x00\xed\xa0\x80\xed\xb0\x80z\x01oz\x01m",
	")\x03u\x02\x00\x00\x00\xed\xa0z\x01oz\x01m",
	")\x03u\x01\x00\x00\x00\xffz\x01oz\x01m",
	")\x03u\x04\x00\x00\x00\xf4\x90\x80\x80z\x01oz\x01m",
	")\x03u\x02\x00\x00\x00\xc0\x80z\x01oz\x01m",
	"(\x03\x00\x00\x00t\x01\x00\x00\x00\xffs\x01\x00\x00\x00os\x01\x00\x00\x00m",
	"(\x03\x00\x00\x00u\x03\x00\x00\x00\xed\xa0\x80s\x01\x00\x00\x00os\x01\x00\x00\x00m",
	")\x03z\x01\xe9z\x01oz\x01m",
	// Not blobs.
	")\x02z\x01oz\x01m", "[\x03\x00\x00\x00Nz\x01oz\x01m", ")\x03Ni\x01\x00\x00\x00z\x01m", ")\x03NNN", "N", "", "0", ")\x030z\x01oz\x01m",
	")\x03{N00z\x01oz\x01m", ")\x03{0z\x01oz\x01m", ")\x03{0z\x01o0", ")\x03Sz\x01oz\x01m", ")\x03.z\x01oz\x01m", ")\x03\xaeNz\x01oz\x01m",
	// A slice, of Python 3.14.
	")\x03:NNNz\x01oz\x01m", ")\x03\xbaN\xdb\x00\x00\x00\x00r\x00\x00\x00\x00z\x01oz\x01m",
	// Mixed.
	")\x03t\x01\x00\x00\x00aR\x00\x00\x00\x00z\x01m",
	"(\x03\x00\x00\x00\xf4\x01\x00\x00\x00ar\x00\x00\x00\x00r\x00\x00\x00\x00",
	// A tuple of tuples that would take 2**40 steps to hash is refused before it gets to any Python: see TestHashing.
	")\x03" + strings.Repeat("[\x01\x00\x00\x00", 98) + "Nz\x01oz\x01m",
}

// randomAnnotation makes an annotation of random values in random forms, and
// often damages it.
func randomAnnotation(r *rand.Rand) []byte {
	g := generator{Rand: r, python2: r.IntN(4) == 0}
	b := g.head(nil, '(', 3)
	b = g.value(b, 4)
	for range 2 {
		if r.IntN(12) == 0 {
			b = g.value(b, 2)
		} else {
			b = g.text(b)
		}
	}
	if r.IntN(3) != 0 {
		return b
	}
	for range 1 + r.IntN(3) {
		at := r.IntN(len(b))
		switch r.IntN(4) {
		case 0:
			b[at] ^= 1 << r.IntN(8)
		case 1:
			b[at] = byte(r.Uint32())
		case 2:
			b[at] = "0NFTS.iIfgxyl stRru()[{<>aAzZ:c"[r.IntN(31)]
		default:
			b = b[:max(at, 1)]
		}
	}
	return b
}

type generator struct {
	*rand.Rand
	python2  bool
	refs     int
	interned int
}

// code writes a type code, flagged at times.
func (g *generator) code(b []byte, code byte) []byte {
	if !g.python2 && g.IntN(3) == 0 {
		g.refs++
		code |= 0x80
	}
	return append(b, code)
}

func (g *generator) head(b []byte, code byte, n int) []byte {
	if code == '(' && !g.python2 && g.IntN(2) == 0 {
		return append(g.code(b, ')'), byte(n))
	}
	return binary.LittleEndian.AppendUint32(g.code(b, code), uint32(n))
}

var words = []string{"a", "a", "b", "", "tenant", "caf\xc3\xa9", "\xed\xa0\x80", "0", "camera"}

func (g *generator) text(b []byte) []byte {
	w := words[g.IntN(len(words))]
	if g.python2 && g.interned > 0 && g.IntN(3) == 0 {
		return binary.LittleEndian.AppendUint32(append(b, 'R'), uint32(g.IntN(g.interned)))
	}
	if g.python2 && g.IntN(2) == 0 {
		g.interned++
		return append(binary.LittleEndian.AppendUint32(append(b, 't'), uint32(len(w))), w...)
	}
	code := "susuaAzZ"[g.IntN(8)]
	if g.python2 || !isASCII(w) {
		code = "su"[g.IntN(2)]
	}
	b = g.code(b, code)
	if code == 'z' || code == 'Z' {
		b = append(b, byte(len(w)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(w)))
	}
	return append(b, w...)
}

var floats = []string{"1.5", "-0.0", "1e300", "-1e19", "0.1", "nan", "inf", "3", "1e-7", "x", "1e", "9007199254740993"}

func (g *generator) number(b []byte) []byte {
	switch g.IntN(6) {
	case 0:
		return binary.LittleEndian.AppendUint32(g.code(b, 'i'), uint32(g.IntN(5)-2))
	case 1:
		return binary.LittleEndian.AppendUint64(g.code(b, 'g'), uint64(g.IntN(1<<12))<<52)
	case 2:
		f := floats[g.IntN(len(floats))]
		return append(append(g.code(b, 'f'), byte(len(f))), f...)
	case 3:
		return append(b, "TF"[g.IntN(2)])
	case 4:
		return append(g.code(b, 'y'), make([]byte, 16)...)
	}
	n := g.IntN(8)
	signed := n * (1 - 2*g.IntN(2))
	b = binary.LittleEndian.AppendUint32(g.code(b, 'l'), uint32(signed))
	for range n {
		b = binary.LittleEndian.AppendUint16(b, uint16(g.IntN(0x8008)))
	}
	return b
}

func (g *generator) value(b []byte, depth int) []byte {
	if g.refs > 0 && g.IntN(6) == 0 {
		return binary.LittleEndian.AppendUint32(append(b, 'r'), uint32(g.IntN(g.refs+1)))
	}
	kind := g.IntN(9)
	if depth == 0 {
		kind %= 4
	}
	switch kind {
	case 0:
		return append(b, "NS."[g.IntN(3)])
	case 1:
		return g.number(b)
	case 2, 3:
		return g.text(b)
	case 4, 5:
		b = g.code(b, '{')
		for range g.IntN(4) {
			b = g.value(b, min(depth-1, g.IntN(3)))
			b = g.value(b, depth-1)
		}
		return append(b, '0')
	}
	n := g.IntN(4)
	b = g.head(b, "([(<>"[g.IntN(5)], n)
	for range n {
		b = g.value(b, depth-1)
	}
	return b
}
