//go:build rig && !race

package rig

const raceDetector = false
