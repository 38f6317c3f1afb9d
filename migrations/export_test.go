package migrations

// LockID lets tests hold what a migrating process holds.
func (m *Migrator) LockID() int64 { return m.lockID() }
