//go:build rig && race

package rig

// raceDetector: what runs the tests with it gets a relay that has it too.
const raceDetector = true
