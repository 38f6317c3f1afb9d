//go:build !unix

package main

func mayBrowse(any, []string) bool { return false }

func openBrowser(string) {}
