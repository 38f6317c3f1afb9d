package autopipeline

import "time"

// MostAtOnce is how many commands go in one batch.
const MostAtOnce = mostAtOnce

// Waiting is how many commands wait for their turn.
func (c *Client) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// SetOverdue sets when a batch no longer holds up those who come after it.
func (c *Client) SetOverdue(d time.Duration) { c.late = d }

// Most is how many batches may be on their way now.
func (c *Client) Most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most()
}
