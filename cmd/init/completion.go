package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	boot "github.com/fleek-platform/nix2vast/init"
)

// completeVerb is what the shells' scripts ask: the words behind "init" up to the
// one to complete. The answer is a line for each candidate, with a tab and half a
// sentence behind it; the line filesWanted stands for the names of files.
const (
	completeVerb = "__complete"
	filesWanted  = ":files"
)

func completion(args []string) int {
	shells := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	words, code, ok := parse("completion", args, 1, 1, nil)
	if !ok {
		return code
	}
	script, ok := shells[words[0]]
	if !ok {
		return usage("completion: %q is none of bash, zsh, fish", words[0])
	}
	fmt.Print(script)
	return 0
}

func complete(words []string) int {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	for _, c := range candidates(words) {
		if word, _, _ := strings.Cut(c, "\t"); word == filesWanted || strings.HasPrefix(word, last) {
			fmt.Println(c)
		}
	}
	return 0
}

// candidates is what the last word may be.
func candidates(words []string) []string {
	before, last := words[:len(words)-1], words[len(words)-1]
	if len(before) == 0 {
		return described(order)
	}
	name := before[0]
	if strings.HasPrefix(last, "-") {
		return flagsOf(verbs[name].usage)
	}
	switch before[len(before)-1] {
	case "--as":
		return boot.KindWords()
	case "-s":
		return []string{"HUP", "INT", "QUIT", "TERM", "KILL", "USR1", "USR2", "STOP", "CONT", "WINCH"}
	case "-n", "--since", "--wait", "--span":
		return nil
	}
	switch name {
	case "status", "logs", "start", "stop", "restart", "reload", "kill", "disable", "cat":
		return serviceNames(before[1:])
	case "enable":
		return append(serviceNames(before[1:]), filesWanted)
	case "check", "boot":
		return []string{filesWanted}
	case "tailnet":
		if before[len(before)-1] == "--key-file" {
			return []string{filesWanted}
		}
		return tailnetWords
	case "completion":
		return []string{"bash", "zsh", "fish"}
	case "help":
		return described(order)
	case "systemctl":
		if len(before) == 1 {
			var list []string
			for verb := range unitVerbs() {
				list = append(list, verb)
			}
			for verb := range otherVerbs() {
				list = append(list, verb)
			}
			slices.Sort(list)
			return slices.DeleteFunc(list, func(verb string) bool { return verb == "" })
		}
		return serviceNames(before[2:])
	}
	return nil
}

// described are verbs with the first line of what they do.
func described(names []string) (list []string) {
	for _, name := range names {
		does, _, _ := strings.Cut(verbs[name].does, "\n")
		list = append(list, name+"\t"+strings.TrimSuffix(does, ";"))
	}
	return list
}

// flagsOf reads the flags in the usage of a verb.
func flagsOf(usage string) (list []string) {
	for _, word := range strings.FieldsFunc(usage, func(r rune) bool { return strings.ContainsRune("[] |.", r) }) {
		if strings.HasPrefix(word, "-") {
			list = append(list, word)
		}
	}
	return append(list, "--help")
}

// completeTimeout bounds how long somebody waits after a tab.
const completeTimeout = 2 * time.Second

// serviceNames are the services that are not given yet, with their states. Without
// an init there are none.
func serviceNames(given []string) (list []string) {
	ctx, cancel := context.WithTimeout(background, completeTimeout)
	defer cancel()
	st, err := here.State(ctx)
	if err != nil {
		return nil
	}
	for _, s := range st.Services {
		if !slices.Contains(given, s.Name) {
			list = append(list, s.Name+"\t"+s.State.String())
		}
	}
	return list
}
