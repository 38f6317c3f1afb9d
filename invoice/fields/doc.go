// Package fields describes structs by the tags of their fields, and reads, compares, spells and hashes them by that description alone.
//
// So a field is described in one place, and whatever is done with it follows from there. A tag job:"name,option,…" gives the field's
// name in JSON. A field's Go type says what it holds:
//
//	string                 a text; "" is absent
//	decimal.Decimal        a number; 0 is absent
//	*decimal.Decimal       a number; 0 isn't absent
//	bool                   true or false; false is absent
//	a pointer to a struct  an object; one without any fields is absent
//	a slice of structs     a list; an empty one is absent
//	an embedded struct     its fields are fields of the struct around it
//
// The options are:
//
//	required      the field has to be stated where its object is
//	like=NAME     the text has one of the [Format]s
//	one=A|B       the text is one of these
//	most=N        the list has no more than N elements, or the text no more than N characters
//	percent       the number is one from 0 to 100
//	personal      a person may stand in it; what is below it is personal, too
//	shown         it is only shown, and decides neither what is owed, nor what was sold, nor to whom
//	check         it is compared with what the job comes to, and is no content
//
// A string without like or one is personal.
package fields
