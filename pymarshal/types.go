package pymarshal

// The type codes of marshal.c. The top bit of a code marks a value that may be referred to later.
const (
	flagRef = 0x80

	typeNull               = '0'
	typeNone               = 'N'
	typeFalse              = 'F'
	typeTrue               = 'T'
	typeStopIter           = 'S'
	typeEllipsis           = '.'
	typeInt                = 'i'
	typeInt64              = 'I' // written by 64-bit Python 2
	typeFloat              = 'f'
	typeBinaryFloat        = 'g'
	typeComplex            = 'x'
	typeBinaryComplex      = 'y'
	typeLong               = 'l'
	typeString             = 's'
	typeInterned           = 't'
	typeRef                = 'r'
	typeStringRef          = 'R'
	typeTuple              = '('
	typeSmallTuple         = ')'
	typeList               = '['
	typeDict               = '{'
	typeUnicode            = 'u'
	typeSet                = '<'
	typeFrozenSet          = '>'
	typeASCII              = 'a'
	typeASCIIInterned      = 'A'
	typeShortASCII         = 'z'
	typeShortASCIIInterned = 'Z'
	typeSlice              = ':' // version 5
)

// takesRef reports whether a value of this type goes into the table when its code carries the flag.
// The singletons never do (CPython writes them unflagged and ignores the flag), nor do references themselves.
func takesRef(typ byte) bool {
	switch typ {
	case typeNull, typeNone, typeFalse, typeTrue, typeStopIter, typeEllipsis, typeRef, typeStringRef:
		return false
	}
	return true
}

// forms is a set of the forms that only some Pythons read.
type forms uint8

const (
	formPython2 forms = 1 << iota // 2.7 and no later one
	formPython3                   // 3.4 or later
	formRef                       // a reference, whosesoever
)

// formsOf looks at a type code, flag and all.
func formsOf(code byte) forms {
	switch code {
	case typeRef:
		return formPython3 | formRef
	case typeStringRef:
		return formPython2 | formRef
	case typeSmallTuple, typeASCII, typeASCIIInterned, typeShortASCII, typeShortASCIIInterned, typeSlice:
		return formPython3
	}
	if code&flagRef == 0 {
		return 0
	}
	return formPython3 | formsOf(code&^flagRef)
}
