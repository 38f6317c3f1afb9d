//go:build !linux

package main

import "syscall"

// dyingWithParent is an ordinary start: this system cannot tie a child's life to its parent's. When this process is
// killed with kill -9, the command finds its servers gone.
func dyingWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{}
}
