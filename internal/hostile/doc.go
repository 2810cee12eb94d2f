// Package hostile tests the relay's binary against those who mean it harm, or
// only send too much: what it may take of memory, whom it lets in, and what it
// lets out. It holds nothing but tests; docs/threats.md lists which test guards
// against what.
package hostile
