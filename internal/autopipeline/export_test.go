package autopipeline

// MostAtOnce is how many commands go in one batch.
const MostAtOnce = mostAtOnce

// Waiting is how many commands wait for their turn.
func (c *Client) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}
