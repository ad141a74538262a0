// An independent judge: reads a history (docs/history.md) and asks Porcupine whether the writes and strong
// reads of each key, and of each group of accounts, are linearizable. Prints what it found as JSON. It shares
// nothing with our own checker but the file, and leaves all other rules to it.
//
// Use: porcupine FILE [SECONDS FOR EACH KEY]
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

type line struct {
	Type        string  `json:"type"`
	Client      int     `json:"client"`
	Use         string  `json:"use"`
	Key         string  `json:"key"`
	InvokedMs   float64 `json:"invokedMs"`
	ReturnedMs  float64 `json:"returnedMs"`
	Outcome     string  `json:"outcome"`
	Consistency string  `json:"consistency"`
	Operation   struct {
		Kind     string `json:"kind"`
		Value    string `json:"value"`
		Expected string `json:"expected"`
		Token    string `json:"token"`
		To       string `json:"to"`
		Amount   int64  `json:"amount"`
	} `json:"operation"`
	Result  json.RawMessage `json:"result"`
	Initial struct {
		Accounts map[string]int64 `json:"accounts"`
	} `json:"initial"`
}

// Of a register or log; null in JSON is absent.
func (l *line) text() string {
	var value *string
	if json.Unmarshal(l.Result, &value) != nil || value == nil {
		return absent
	}
	return *value
}

func (l *line) numbers() map[string]int64 {
	numbers := map[string]int64{}
	_ = json.Unmarshal(l.Result, &numbers)
	return numbers
}

const absent = "\x00"

// A state is text, so that states compare with ==. Every operation comes at some time, here; one of unknown
// outcome may be so late that nobody sees it, and find its condition not met.
func step(state, in, _ interface{}) (bool, interface{}) {
	text, l := state.(string), in.(*line)
	known := l.Outcome != "unknown"
	op := l.Operation
	switch op.Kind {
	case "read":
		if l.Use == "counter" && l.text() == absent {
			return text == "0", text
		}
		return l.text() == text || (l.Use == "log" && l.text() == absent && text == ""), text
	case "write":
		return true, op.Value
	case "delete":
		return true, absent
	case "compareAndSet":
		if text == op.Expected {
			return l.Outcome != "conflict", op.Value
		}
		return l.Outcome != "ok", text
	case "append":
		return true, text + op.Token
	case "increment":
		before, _ := strconv.ParseInt(text, 10, 64)
		after := strconv.FormatInt(before+op.Amount, 10)
		return !known || string(l.Result) == after, after
	case "transfer":
		balances := parse(text)
		hasFunds := balances[l.Key] >= op.Amount
		if !hasFunds {
			return l.Outcome != "ok", text
		}
		if l.Outcome == "conflict" {
			return false, text
		}
		balances[l.Key] -= op.Amount
		balances[op.To] += op.Amount
		for name, told := range l.numbers() {
			if balances[name] != told {
				return false, text
			}
		}
		return true, format(balances)
	case "audit":
		return format(l.numbers()) == text, text
	}
	return false, text
}

func parse(text string) map[string]int64 {
	balances := map[string]int64{}
	_ = json.Unmarshal([]byte(text), &balances)
	return balances
}

// Keys are sorted by encoding/json.
func format(balances map[string]int64) string {
	text, _ := json.Marshal(balances)
	return string(text)
}

func group(key string) string {
	open := strings.Index(key, "{")
	end := strings.Index(key, "}")
	if open < 0 || end < open {
		return ""
	}
	return key[open+1 : end]
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) < 2 {
		return fmt.Errorf("use: porcupine FILE [SECONDS]")
	}
	limit := 60 * time.Second
	if len(os.Args) > 2 {
		seconds, err := strconv.Atoi(os.Args[2])
		if err != nil {
			return err
		}
		limit = time.Duration(seconds) * time.Second
	}
	accounts, objects, err := read(os.Args[1])
	if err != nil {
		return err
	}
	found := map[string][]string{"illegal": {}, "undecided": {}}
	for name, lines := range objects {
		switch porcupine.CheckOperationsTimeout(modelOf(name, lines[0].Use, accounts), operations(lines), limit) {
		case porcupine.Illegal:
			found["illegal"] = append(found["illegal"], name)
		case porcupine.Unknown:
			found["undecided"] = append(found["undecided"], name)
		}
	}
	sort.Strings(found["illegal"])
	sort.Strings(found["undecided"])
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"objects": len(objects), "illegal": found["illegal"], "undecided": found["undecided"],
	})
}

func read(path string) (map[string]int64, map[string][]*line, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	accounts, objects := map[string]int64{}, map[string][]*line{}
	scanner := bufio.NewScanner(file)
	scanner.Buffer(make([]byte, 1024*1024), 256*1024*1024)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			// Lines of other types have fields of other types.
			continue
		}
		if l.Type == "run" {
			accounts = l.Initial.Accounts
		}
		relaxed := l.Consistency == "session" || l.Consistency == "eventual"
		if l.Type != "operation" || relaxed || l.Outcome == "refused" || l.Operation.Kind == "scan" || l.Use == "expiring" {
			continue
		}
		reads := l.Operation.Kind == "read" || l.Operation.Kind == "audit"
		if reads && l.Outcome == "unknown" {
			continue
		}
		name := l.Use + " " + l.Key
		if l.Use == "account" {
			name = l.Use + " " + group(l.Key)
		}
		objects[name] = append(objects[name], &l)
	}
	return accounts, objects, scanner.Err()
}

func modelOf(name, use string, accounts map[string]int64) porcupine.Model {
	initial := absent
	switch use {
	case "counter":
		initial = "0"
	case "log":
		initial = ""
	case "account":
		held := map[string]int64{}
		for key, balance := range accounts {
			if "account "+group(key) == name {
				held[key] = balance
			}
		}
		initial = format(held)
	}
	return porcupine.Model{Init: func() interface{} { return initial }, Step: step}
}

// An unknown outcome may come at any later time. A write that nobody saw and no comparison failed by can be
// left out: whoever put it anywhere could leave it out as well.
func operations(lines []*line) []porcupine.Operation {
	seen, conflicts := map[string]bool{}, false
	for _, l := range lines {
		conflicts = conflicts || l.Outcome == "conflict"
		if l.Outcome == "ok" && l.Operation.Kind == "read" {
			seen[l.text()] = true
		}
		seen[l.Operation.Expected] = true
	}
	result := []porcupine.Operation{}
	for _, l := range lines {
		end := int64(math.MaxInt64)
		if l.Outcome != "unknown" {
			end = int64(l.ReturnedMs * 1e6)
		}
		kind := l.Operation.Kind
		isPut := kind == "write" || kind == "compareAndSet"
		if l.Outcome == "unknown" && isPut && !conflicts && !seen[l.Operation.Value] {
			continue
		}
		result = append(result, porcupine.Operation{
			ClientId: l.Client, Input: l, Call: int64(l.InvokedMs * 1e6), Return: end,
		})
	}
	return result
}
