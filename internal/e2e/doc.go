// Package e2e tests the relay with real programs: a Prometheus scrapes a target whose
// counter breaks by a script, remote-writes to the relay binary, and the relay forwards
// to another Prometheus (or to Thanos), which is then asked.
//
// Its tests carry the build tag e2e (those with Thanos: e2e and thanos) and want the
// programs that `make tools` and `make tools-thanos` put into .cache/bin. Run them by
// `make e2e` and `make e2e-thanos`.
package e2e
