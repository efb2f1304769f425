package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	boot "github.com/fleek-platform/nix2vast/init"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// tailnetWords are what may stand behind the verb.
var tailnetWords = []string{"peers", "login", "logout"}

func tailnet(args []string) int {
	var asJSON, ping bool
	var keyFile string
	words, code, ok := parse("tailnet", args, 0, 1, func(f *flag.FlagSet) {
		f.BoolVar(&asJSON, "json", false, "")
		f.BoolVar(&ping, "ping", false, "")
		f.StringVar(&keyFile, "key-file", "", "")
	})
	if !ok {
		return code
	}
	word := ""
	if len(words) > 0 {
		word = words[0]
	}
	if ping && word != "peers" {
		return usage("tailnet: --ping is for peers")
	}
	if keyFile != "" && word != "login" {
		return usage("tailnet: --key-file is for login")
	}
	switch word {
	case "":
		return showTailnet(asJSON)
	case "peers":
		return showPeers(asJSON, ping)
	case "login":
		return tailnetLogin(keyFile)
	case "logout":
		return done(here.TailnetLogout(background))
	}
	if near := boot.Nearest(word, tailnetWords); near != "" {
		return usage("tailnet: there is no %q; did you mean %s?", word, near)
	}
	return usage("tailnet: there is no %q", word)
}

// showTailnet is 1 where the box is not in its tailnet.
func showTailnet(asJSON bool) int {
	st, err := here.TailnetStatus(background)
	if err != nil {
		return fail(err)
	}
	if st == nil {
		return fail(errors.New("no tailnet is wanted here: set TAILSCALE_AUTHKEY when the box is created"))
	}
	if asJSON {
		err = printJSON(st)
	} else {
		_, err = fmt.Print(boot.TailnetText(*st))
	}
	if err != nil {
		return fail(err)
	}
	if st.State != wire.Running && st.State != wire.Degraded {
		return 1
	}
	return 0
}

func showPeers(asJSON, ping bool) int {
	list, err := here.Peers(background, ping)
	if err != nil {
		return fail(err)
	}
	if asJSON {
		if list == nil {
			list = []wire.Peer{}
		}
		return done(printJSON(list))
	}
	_, err = fmt.Print(boot.PeersText(list))
	return done(err)
}

// maxKey is far above the length of a key, in bytes.
const maxKey = 64 << 10

func tailnetLogin(keyFile string) int {
	var key boot.Secret
	if keyFile != "" {
		text, err := readKey(keyFile)
		if err == nil {
			key, err = boot.CleanKey(text)
		}
		if err != nil {
			return fail(err)
		}
	}
	ctx, stop := untilInterrupted()
	defer stop()
	return done(here.TailnetLogin(ctx, key, func(st wire.Status) {
		switch {
		case st.LoginURL != "" && key == "":
			fmt.Println("To let this box in, open:", st.LoginURL)
		case st.State == wire.Running:
			fmt.Println("in the tailnet as", st.Name, st.Addresses)
		default:
			fmt.Fprint(os.Stderr, boot.TailnetText(st))
		}
	}))
}

func readKey(file string) (string, error) {
	in := os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("reading the key: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxKey))
	if err != nil {
		return "", fmt.Errorf("reading the key: %w", err)
	}
	return string(text), nil
}
