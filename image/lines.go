package image

import (
	"bytes"
	"encoding/json"
)

// keepLines puts before each definition as many line breaks as the file has
// before it, which JSON and YAML take for nothing: whoever reads the definition
// then counts the lines of the file.
func (c *Config) keepLines(b []byte) {
	if !bytes.Contains(bytes.TrimSpace(b), []byte("\n")) {
		return // what Nix writes is one line
	}
	d := json.NewDecoder(bytes.NewReader(b))
	raw := func() json.RawMessage {
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return nil // Parse has seen it all: this cannot be
		}
		before := bytes.Count(b[:d.InputOffset()-int64(len(v))], []byte("\n"))
		return append(bytes.Repeat([]byte("\n"), before), v...)
	}
	_, _ = d.Token() // {
	for d.More() {
		key, _ := d.Token()
		switch key {
		case "processCompose":
			c.ProcessCompose = raw()
		case "modularServices":
			c.ModularServices = raw()
		case "services":
			if open, _ := d.Token(); open != json.Delim('{') {
				continue // null
			}
			for d.More() {
				name, _ := d.Token()
				c.Services[name.(string)] = raw()
			}
			_, _ = d.Token() // }
		default:
			raw()
		}
	}
}

// Line is the line of the config on which a definition begins.
func Line(raw json.RawMessage) int {
	return 1 + bytes.Count(raw[:len(raw)-len(bytes.TrimLeft(raw, "\n"))], []byte("\n"))
}
