// Go's scheduler where it leans on the kernel most: goroutines that never give
// way are preempted by SIGURG at any instruction, threads come and go around
// blocking calls, the collector stops the world, and programs are spawned.
//
//	main [SEED [ROUNDS]]
//
// Every sum is known beforehand. A goroutine or a wake-up that is lost is a run
// that does not end.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func lost(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

// Loops without a call in it: only a signal takes the processor from them. More
// of them than processors, and somebody who waits for all.
func preempted(rounds int) uint64 {
	var stop atomic.Bool
	var group sync.WaitGroup
	var turns atomic.Uint64
	for range make([]struct{}, 2*runtime.GOMAXPROCS(0)) {
		group.Add(1)
		go func() {
			defer group.Done()
			own := uint64(0)
			for !stop.Load() {
				own++
			}
			turns.Add(own)
		}()
	}
	for i := 0; i < rounds; i++ {
		runtime.GC() // stops every one of them
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	group.Wait()
	return turns.Load()
}

// Values through a chain of channels, with timers among them.
func chain(rounds int) {
	const links = 20
	first := make(chan int)
	in := first
	for i := 0; i < links; i++ {
		out := make(chan int)
		go func(in <-chan int, out chan<- int) {
			for value := range in {
				select {
				case out <- value + 1:
				case <-time.After(time.Minute):
					lost("nobody takes a value")
				}
			}
			close(out)
		}(in, out)
		in = out
	}
	go func() {
		for i := 0; i < rounds; i++ {
			first <- i
		}
		close(first)
	}()
	want := 0
	for value := range in {
		if value != want+links {
			lost("the chain gave %d for %d", value, want)
		}
		want++
	}
	if want != rounds {
		lost("%d values of %d", want, rounds)
	}
}

// Threads blocked in the kernel while others go on.
func pipes(rounds int) {
	var group sync.WaitGroup
	for n := 0; n < 6; n++ {
		group.Add(1)
		go func() {
			defer group.Done()
			var ends [2]int
			if err := syscall.Pipe(ends[:]); err != nil {
				lost("pipe: %v", err)
			}
			done := make(chan int)
			go func() {
				sum, buffer := 0, make([]byte, 1)
				for {
					n, err := syscall.Read(ends[0], buffer)
					if err == syscall.EINTR {
						continue
					}
					if n != 1 || err != nil {
						break
					}
					sum += int(buffer[0])
				}
				done <- sum
			}()
			want := 0
			for i := 0; i < rounds; i++ {
				want += i & 255
				for {
					_, err := syscall.Write(ends[1], []byte{byte(i)})
					if err == nil {
						break
					}
					if err != syscall.EINTR {
						lost("write: %v", err)
					}
				}
			}
			syscall.Close(ends[1])
			if sum := <-done; sum != want {
				lost("%d through a pipe, expected %d", sum, want)
			}
			syscall.Close(ends[0])
		}()
	}
	group.Wait()
}

// Signals of one's own: SIGUSR1 collapses, so that one at a time is sent.
func signals(rounds int) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	for i := 0; i < rounds; i++ {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			lost("kill: %v", err)
		}
		<-told
	}
	signal.Stop(told)
}

func programs(rounds int) {
	var group sync.WaitGroup
	for n := 0; n < 4; n++ {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			for i := 0; i < rounds; i++ {
				code := (n*rounds + i) % 60
				err := exec.Command(os.Args[0], "@exit", strconv.Itoa(code)).Run()
				got := 0
				if err, ok := err.(*exec.ExitError); ok {
					got = err.ExitCode()
				} else if err != nil {
					lost("a program: %v", err)
				}
				if got != code {
					lost("a program ended with %d, expected %d", got, code)
				}
			}
		}(n)
	}
	group.Wait()
}

func garbage(rounds int) {
	var group sync.WaitGroup
	for n := 0; n < 4; n++ {
		group.Add(1)
		go func() {
			defer group.Done()
			var kept [64][]byte
			for i := 0; i < rounds*64; i++ {
				block := make([]byte, 512+i%4096)
				block[0] = byte(i)
				kept[i%64] = block
			}
			for i, block := range kept {
				if len(block) > 0 && block[0] != byte(rounds*64-64+i) {
					lost("a block was lost")
				}
			}
		}()
	}
	group.Wait()
}

func number(index int, otherwise int) int {
	if len(os.Args) > index {
		if value, err := strconv.Atoi(os.Args[index]); err == nil {
			return value
		}
	}
	return otherwise
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "@exit" {
		os.Exit(number(2, 99))
	}
	seed, rounds := number(1, 1), number(2, 6)
	runtime.GOMAXPROCS(2 + seed%4)
	turns := preempted(rounds)
	if turns == 0 {
		lost("a loop never ran")
	}
	parts := []func(){
		func() { chain(rounds * 20) },
		func() { pipes(rounds * 20) },
		func() { signals(rounds * 4) },
		func() { garbage(rounds * 4) },
		func() { programs(1 + rounds/6) },
	}
	var group sync.WaitGroup
	for _, part := range parts {
		group.Add(1)
		go func(part func()) {
			defer group.Done()
			part()
		}(part)
	}
	group.Wait()
	fmt.Printf("go: %d collections while loops ran, GOMAXPROCS %d\n", rounds, runtime.GOMAXPROCS(0))
}
