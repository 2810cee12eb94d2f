// Package fulldisk tests the relay's program on disks that run full: a small
// tmpfs of the test's own, filled by the relay's journal or by a neighbour, and
// a limit on the size of files.
//
// Mounting takes a mount namespace of the tests' own, which root may have, and
// others where user namespaces are permitted. Where neither is, the tests of a
// full disk run against a limit on the size of files instead, and say so.
//
//	go test ./internal/fulldisk              each once
//	go test ./internal/fulldisk -torture 20  each twenty times
package fulldisk
