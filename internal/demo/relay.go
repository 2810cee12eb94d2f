package demo

import "context"

// STUB until pkg/relay is there
type relayProcess struct {
	writeURL, adminURL string
	failed             chan error
}

func startRelay(ctx context.Context, dir, upstreamURL string, o Options) (*relayProcess, error) {
	return &relayProcess{writeURL: upstreamURL, failed: make(chan error)}, nil
}
func (r *relayProcess) stop() error                                           { return nil }
func (r *relayProcess) corrections(ctx context.Context) ([]correction, error) { return nil, nil }
