package races

// NewJudge returns a judge with room for a number of windows.
func NewJudge(room int) *Judge { return &Judge{room: room} }
