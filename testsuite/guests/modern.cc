// C++ threads, exceptions that cross frames, thread_local objects and iostreams.
// The output is the same on every machine and in every order of events.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<int> made{0}, gone{0};

struct Counted {
    std::string name;
    explicit Counted(std::string n) : name(std::move(n)) { made++; }
    ~Counted() { gone++; }
};

thread_local Counted per_thread("thread");
thread_local int uses = 0;

struct Deep : std::runtime_error {
    int level;
    Deep(int l, const std::string &what) : std::runtime_error(what), level(l) {}
};

__attribute__((noinline)) int descend(int depth, int bottom) {
    Counted guard("frame");
    if (depth == bottom) throw Deep(depth, "bottom reached");
    int below = descend(depth + 1, bottom);
    return below + 1;
}

__attribute__((noinline)) int rethrow_halfway(int bottom) {
    try {
        return descend(0, bottom);
    } catch (Deep &d) {
        d.level *= 2;
        throw;
    }
}

void worker(int id, std::mutex &m, std::map<int, std::string> &out) {
    for (int i = 0; i <= id; i++) {
        uses++;
        per_thread.name += static_cast<char>('a' + i);
    }
    int caught = 0;
    for (int round = 0; round < 20; round++) {
        try {
            rethrow_halfway(round + id);
        } catch (const Deep &d) {
            caught += d.level;
        }
    }
    std::ostringstream line;
    line << "worker " << id << " uses " << uses << ' ' << per_thread.name << " caught " << caught;
    std::lock_guard<std::mutex> lock(m);
    out[id] = line.str();
}

void producers_and_consumers() {
    std::mutex m;
    std::condition_variable cv;
    std::vector<int> queue;
    bool done = false;
    long total = 0;
    std::vector<std::thread> consumers;
    for (int i = 0; i < 3; i++)
        consumers.emplace_back([&] {
            for (;;) {
                std::unique_lock<std::mutex> lock(m);
                cv.wait(lock, [&] { return done || !queue.empty(); });
                if (queue.empty()) return;
                total += queue.back();
                queue.pop_back();
            }
        });
    std::vector<std::thread> producers;
    for (int i = 0; i < 3; i++)
        producers.emplace_back([&, i] {
            for (int k = 0; k < 500; k++) {
                {
                    std::lock_guard<std::mutex> lock(m);
                    queue.push_back(i * 1000 + k);
                }
                cv.notify_one();
            }
        });
    for (auto &t : producers) t.join();
    {
        std::lock_guard<std::mutex> lock(m);
        done = true;
    }
    cv.notify_all();
    for (auto &t : consumers) t.join();
    std::cout << "queue total " << total << '\n';
}

}  // namespace

int main() {
    std::ios::sync_with_stdio(false);
    std::mutex m;
    std::map<int, std::string> out;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; i++) threads.emplace_back(worker, i, std::ref(m), std::ref(out));
    for (auto &t : threads) t.join();
    for (const auto &entry : out) std::cout << entry.second << '\n';

    auto future = std::async(std::launch::async, []() -> int { throw Deep(7, "from another thread"); });
    try {
        future.get();
    } catch (const Deep &d) {
        std::cout << "caught " << d.what() << ' ' << d.level << '\n';
    }
    producers_and_consumers();

    std::condition_variable cv;
    std::unique_lock<std::mutex> lock(m);
    bool timed_out = cv.wait_for(lock, std::chrono::milliseconds(5)) == std::cv_status::timeout;
    std::cout << "timed wait " << std::boolalpha << timed_out << '\n';

    std::istringstream in("3 0x1f 2.5 word");
    int dec = 0, hex = 0;
    double real = 0;
    std::string word;
    in >> dec >> std::hex >> hex >> std::dec >> real >> word;
    std::cout << std::setw(6) << std::setfill('*') << dec << ' ' << std::showbase << std::hex << hex << std::dec << ' '
              << std::fixed << std::setprecision(3) << real << ' ' << word << std::endl;
    try {
        std::vector<int>().at(3);
    } catch (const std::out_of_range &) {
        std::cout << "out of range\n";
    }
    try {
        // Volatile, since a compiler may drop an allocation nobody uses.
        volatile size_t size = static_cast<size_t>(1) << 62;
        void *volatile p = ::operator new(size);
        std::cout << "allocated " << (p != nullptr) << '\n';
    } catch (const std::bad_alloc &) {
        std::cout << "bad alloc\n";
    }
    std::cout << "made " << made << " gone " << gone << '\n';
    return 0;
}
