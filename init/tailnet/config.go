package tailnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// filterName is the name, in LISTEN_FDNAMES, of the listener of a service's filter.
const filterName = "filter"

// Inherited reads the configuration from the descriptor that init gave, and takes the
// listeners of filters beside it.
func Inherited() (wire.Config, []*os.File, error) {
	var config *os.File
	var filters []*os.File
	for _, f := range activation.Files(true) {
		switch f.Name() {
		case wire.ConfigName:
			config = f
		case filterName:
			filters = append(filters, f)
		default:
			f.Close()
		}
	}
	if config == nil {
		return wire.Config{}, nil, errors.New("there is no descriptor named " + wire.ConfigName +
			": this program is started by init, as the service tailnet")
	}
	defer config.Close()
	c, err := readConfig(config)
	return c, filters, err
}

// maxConfig is far above what keys and lists of ports need, in bytes.
const maxConfig = 1 << 20

// readConfig reads from the beginning, wherever an earlier start of the program left the
// offset that both share.
func readConfig(r io.ReaderAt) (wire.Config, error) {
	var c wire.Config
	if err := json.NewDecoder(io.NewSectionReader(r, 0, maxConfig)).Decode(&c); err != nil {
		return c, fmt.Errorf("reading the configuration of the tailnet: %w", err)
	}
	if c.StateDir == "" {
		return c, errors.New("the configuration of the tailnet names no directory for its state")
	}
	return c, nil
}
