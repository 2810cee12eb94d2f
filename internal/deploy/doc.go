// Package deploy holds no code, only tests: every configuration file that the
// repository ships is read by the program or library that it belongs to, so that
// a wrong key shows in a test and not on someone's machine.
package deploy
