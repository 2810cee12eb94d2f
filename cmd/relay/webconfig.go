package main

import (
	"os"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"
)

// authenticates tells whether a web configuration asks every client who it
// is, by password or by certificate. The file was validated before.
func authenticates(path string) bool {
	if path == "" {
		return false
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var c web.Config
	if err := yaml.Unmarshal(b, &c); err != nil {
		return false
	}
	return len(c.Users) > 0 || c.TLSConfig.ClientAuth == "RequireAndVerifyClientCert"
}
