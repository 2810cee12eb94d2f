package store

import (
	"os"
	"path/filepath"
	"testing"
)

func appendSome(t *testing.T, j *Journal, n int, payload string) {
	t.Helper()
	for range n {
		if err := j.Append([]Record{{Time: 1, Kind: KindBatch1, Payload: []byte(payload)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// Rules: what was delivered is known after a start, and is believed only as
// long as the journal holds the very record that it names.
func TestDeliveredIsBelievedOnlyWithItsRecord(t *testing.T) {
	dir := t.TempDir()
	j, err := OpenJournal(dir, JournalOptions{Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	appendSome(t, j, 5, "a")
	d := NewDelivered(dir, j)
	expect := func(what string, d *Delivered, want uint64) {
		t.Helper()
		if got, err := d.Load(); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", what, got, err, want)
		}
	}
	expect("nothing noted", d, 0)
	if err := d.Save(3); err != nil {
		t.Fatal(err)
	}
	expect("noted", d, 3)

	// Another journal with other records under the same numbers, as after a restore.
	other := t.TempDir()
	k, err := OpenJournal(other, JournalOptions{Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	appendSome(t, k, 5, "b")
	note, err := os.ReadFile(filepath.Join(dir, "delivered"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "delivered"), note, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("another journal's note", NewDelivered(other, k), 0)

	for i := range note {
		broken := append([]byte(nil), note...)
		broken[i] ^= 1
		if err := os.WriteFile(filepath.Join(dir, "delivered"), broken, 0o600); err != nil {
			t.Fatal(err)
		}
		expect("one bit flipped", d, 0)
	}
	if err := os.WriteFile(filepath.Join(dir, "delivered"), note[:7], 0o600); err != nil {
		t.Fatal(err)
	}
	expect("cut short", d, 0)
	if err := d.Save(6); err == nil {
		t.Error("a record that does not exist was noted as delivered")
	}
}
