package main

import "github.com/prometheus/common/version"

// release is the version that a build without ldflags carries; see CHANGELOG.md.
const release = "0.1.0-dev"

// nameVersion fills in what the linker was not told.
func nameVersion() {
	if version.Version == "" {
		version.Version = release
	}
}
