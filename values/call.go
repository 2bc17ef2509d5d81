package values

// Call is what an INVOKE's payload says: dumpsCall of both libraries' serializers.
type Call struct {
	Object string
	Method string
	Args   []Value
	Kwargs Dict // keys are strings
}
