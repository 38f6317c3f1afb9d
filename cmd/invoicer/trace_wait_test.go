package main

import (
	"encoding/hex"
	"time"
)

// hasCommandBelow waits until the spans of the last job have come, and reports whether a command of Redis is below a span of that name.
func (r *receiver) hasCommandBelow(name string) bool {
	for range 20 {
		r.mu.Lock()
		names := make(map[string]string)
		for _, span := range r.spans {
			names[hex.EncodeToString(span.GetSpanId())] = span.GetName()
		}
		for _, span := range r.spans {
			if attribute(span, "db.system") == "redis" && names[hex.EncodeToString(span.GetParentSpanId())] == name {
				r.mu.Unlock()
				return true
			}
		}
		r.mu.Unlock()
		time.Sleep(20 * time.Millisecond) // spans are sent every 100 ms
	}
	return false
}
