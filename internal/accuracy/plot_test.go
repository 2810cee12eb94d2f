package accuracy_test

import (
	"context"
	"encoding/xml"
	"os"
	"path/filepath"
	"testing"

	"pawl/internal/accuracy"
)

// Every class has a plot, which is well-formed and small enough for the documentation.
func TestEveryClassHasAPlot(t *testing.T) {
	const most = 15_000 // bytes
	dir := t.TempDir()
	if err := accuracy.WritePlots(context.Background(), dir, fixedSeed); err != nil {
		t.Fatal(err)
	}
	var classes []string
	for _, c := range accuracy.Classes() {
		classes = append(classes, c.Name)
	}
	for _, c := range append(accuracy.HistClasses(), accuracy.SummaryClasses()...) {
		classes = append(classes, c.Name)
	}
	for _, c := range accuracy.NativeClasses() {
		classes = append(classes, c.Name)
	}
	for _, class := range classes {
		b, err := os.ReadFile(filepath.Join(dir, accuracy.PlotFile(class)))
		if err != nil {
			t.Errorf("class %q has no plot: %v", class, err)
			continue
		}
		if len(b) > most {
			t.Errorf("the plot of class %q has %d bytes, at most %d", class, len(b), most)
		}
		var svg struct {
			Paths []struct{} `xml:"path"`
		}
		if err := xml.Unmarshal(b, &svg); err != nil || len(svg.Paths) < 4 {
			t.Errorf("the plot of class %q has %d paths: %v", class, len(svg.Paths), err)
		}
	}
}
