// Command release builds what is handed to others: binaries with their manual, licences, SBOM, checksums and Debian packages, and an
// image for containers.
//
//	go run . release -version v1.2.3
//	go run . image -version v1.2.3 [-push registry.example/invoicer:v1.2.3]
//
// The same commit gives the same bytes, wherever and whenever it is built with the same release of Go: nothing of the machine, the clock
// or the folder goes in. The time in files is that of the commit. Where there is no repository, as in an unpacked archive, the variables
// SOURCE_DATE_EPOCH and REVISION tell what the repository would.
//
// It is a module of its own, so that nothing that it needs enters the product's go.mod.
package main
