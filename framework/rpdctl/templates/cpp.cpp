/* skeleton: a backend for rpd, as a C++ class. It knows the primes up to a limit: a client sends a
 * number a line, and each is answered.
 *
 *     rpd build/skeleton.so -l unix:/tmp/skeleton.sock
 *     printf '97\n' | socat - UNIX-CONNECT:/tmp/skeleton.sock
 *
 * Make it yours: first the constructor, then on_data(). <rpd/backend.hpp> has what a class may
 * have, and what becomes of exceptions; <rpd/backend.h> has the order in which rpd calls it. */
#include <rpd/backend.hpp>

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace
{

/* The object is the state, and yours alone. */
class primes
{
  public:
    static constexpr const char *summary = "Knows primes";
    static constexpr const char *version = "0.1";
    /* What may be set: -o limit=100 on the command line, "options" in rpd.json. rpd checks
     * what the user wrote, and applies the defaults. */
    static constexpr struct rpd_option options[] = {
        RPD_OPTION_INTEGER("limit", 1000000, 2, 1000000000, "the largest number that is known"),
        RPD_OPTIONS_END,
    };
    /* The probe is for `rpdctl check`: a request, and how its answer begins. */
    static constexpr struct rpd_probe probe = RPD_PROBE("2\n", "2 is prime");

    /* [worker] May take as long as it takes: clients are connected meanwhile, and wait. progress()
     * throws where the load is to give up; any exception is a load that failed. */
    explicit primes(rpd::load load)
        : is_composite_(static_cast<std::size_t>(load.service().integer("limit")) + 1)
    {
        const std::size_t limit = is_composite_.size() - 1;

        for (std::size_t n = 2; n * n <= limit; n++) {
            load.progress(n * n, limit, "numbers");
            for (std::size_t multiple = n * n; !is_composite_[n] && multiple <= limit;
                 multiple += n)
                is_composite_[multiple] = true;
        }
    }

    /* [loop] Some input has come: perhaps half a line, perhaps a hundred. Never block here;
     * what takes longer than a moment is a job: conn.job(). */
    void on_data(rpd::conn conn)
    {
        while (const auto line = conn.read_line())
            conn.write(answer(*line));
    }

  private:
    std::string answer(std::string_view line) const
    {
        unsigned long long number = 0;
        const char *end = line.data() + line.size();
        const auto read = std::from_chars(line.data(), end, number);

        if (read.ptr != end || read.ec != std::errc())
            return "?\n";
        if (number >= is_composite_.size())
            return std::to_string(number) + " is above the limit\n";
        return std::to_string(number) +
               (number >= 2 && !is_composite_[number] ? " is prime\n" : " is not prime\n");
    }

    std::vector<bool> is_composite_;
};

} // namespace

RPD_BACKEND_CLASS(skeleton, primes);
