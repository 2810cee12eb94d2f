package config

import "strings"

// suggest is the end of a message about an unknown key: the key that was probably meant, or all there are.
func suggest(key string, known []string) string {
	best, distance := "", 3 // two slips of the finger, not another word
	for _, k := range known {
		if d := edits(key, k); d < distance {
			best, distance = k, d
		}
	}
	switch {
	case best != "" && distance < len(best):
		return "; did you mean " + best + "?"
	case len(known) > 0:
		return "; known here: " + strings.Join(known, ", ")
	default:
		return ""
	}
}

// edits is the Levenshtein distance of two keys, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
