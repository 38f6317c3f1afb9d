//go:build !unix

package witness

// lock does nothing: several processes may add the same documents, which costs room.
func lock(string) (unlock func(), err error) { return func() {}, nil }
