package queue

// DeadAfter is for how long a silent owner lives.
const DeadAfter = deadAfter
