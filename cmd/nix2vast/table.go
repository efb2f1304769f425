package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is written with its columns one below the other.
type table struct {
	rows  [][]string
	right []bool // which columns hold numbers
	// paint is put around a row, where it is not "".
	paint []string
}

func (t *table) add(cells ...string) { t.painted("", cells...) }

func (t *table) painted(colour string, cells ...string) {
	t.rows = append(t.rows, cells)
	t.paint = append(t.paint, colour)
}

// write leaves out columns without any text, and spaces at the ends of lines.
func (t *table) write(w io.Writer) {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for n, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			if widths[i] == 0 {
				continue
			}
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i < len(t.right) && t.right[i] {
				line.WriteString("  " + space + cell)
			} else {
				line.WriteString("  " + cell + space)
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if t.paint[n] != "" {
			text = t.paint[n] + text + plain
		}
		fmt.Fprintln(w, text)
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	if n < 0 {
		return "-" + size(-n)
	}
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		value /= 1024
		switch {
		case value < 9.95:
			return fmt.Sprintf("%.1f %s", value, unit)
		case value < 1023.5:
			return fmt.Sprintf("%.0f %s", value, unit)
		}
	}
	return fmt.Sprintf("%.0f EiB", value/1024)
}

// grown is a difference of bytes for people.
func grown(n int64) string {
	switch {
	case n == 0:
		return ""
	case n > 0:
		return "+" + size(n)
	}
	return size(n)
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
