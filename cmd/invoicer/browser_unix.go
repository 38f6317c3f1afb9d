//go:build unix

package main

import (
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"invoicer/internal/term"
)

// mayBrowse reports whether somebody at a terminal of this machine, which has a desktop, can be shown a page in a browser.
func mayBrowse(out any, environ []string) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, name+"=") && v != name+"=" })
	}
	desktop := runtime.GOOS == "darwin" || has("DISPLAY") || has("WAYLAND_DISPLAY")
	return term.IsTerminal(out) && desktop && !has("CI") && !has("SSH_CONNECTION")
}

// openBrowser has the desktop open an address. It is no matter if that fails: the address is printed as well. The browser gets a
// process group of its own, so that Ctrl-C doesn't end it.
func openBrowser(url string) {
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	command := exec.Command(name, url) //nolint:noctx // the browser outlives this program
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if command.Start() == nil {
		_ = command.Process.Release()
	}
}
