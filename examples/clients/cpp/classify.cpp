// Labels for photos from a file of `convatlas export`, in C++ with OpenVINO:
//
//   classify model.onnx cat.ppm dog.ppm
//
// Decoding is left to the program around: this example reads binary PPM and PGM files (8 bits), as `djpeg`, ImageMagick
// and Pillow write them. A file with the input "pixels" leaves the resize and the crop to its caller: `prepare` repeats
// Pillow's arithmetic, bit by bit. A file with the input "photo" does both by itself; OpenVINO computes it in float32, so
// that pixels may differ by one level. CMakeLists.txt beside this file builds the program.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <openvino/openvino.hpp>

struct Image {
    size_t height, width, channels;
    std::vector<uint8_t> pixels;  // height x width x channels
    uint8_t& at(size_t y, size_t x, size_t c) { return pixels[(y * width + x) * channels + c]; }
    uint8_t at(size_t y, size_t x, size_t c) const { return pixels[(y * width + x) * channels + c]; }
};

Image blank(size_t height, size_t width, size_t channels) {
    return {height, width, channels, std::vector<uint8_t>(height * width * channels)};
}

// --- reading ---------------------------------------------------------------------------------------------------------

size_t number(std::istream& file) {
    size_t value = 0;
    while (file >> std::ws && file.peek() == '#') file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    file >> value;
    return value;
}

Image read_pnm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string kind(2, '\0');
    if (!file.read(kind.data(), 2) || (kind != "P6" && kind != "P5"))
        throw std::runtime_error("it is no binary PPM or PGM file");
    const size_t width = number(file), height = number(file);
    if (number(file) != 255 || !width || !height || width > 89478485 / height)
        throw std::runtime_error("its header is not that of an 8-bit image of up to 89,478,485 pixels");
    file.get();
    Image image = blank(height, width, kind == "P6" ? 3 : 1);
    if (!file.read(reinterpret_cast<char*>(image.pixels.data()), image.pixels.size()))
        throw std::runtime_error("it is cut short");
    return image;
}

// --- the description inside the file: one line of JSON ---------------------------------------------------------------

struct Description {
    std::vector<std::string> classes;
    bool resizes_by_itself, squash, bicubic;
    size_t height, width, channels;  // of the network's input
    double margin;                   // side of the resized image divided by that of the input
};

// What follows a key; quotes inside a JSON string are escaped, so that a key is found only where it is one.
std::string after(const std::string& json, const std::string& key) {
    const size_t at = json.find("\"" + key + "\":");
    if (at == std::string::npos) throw std::runtime_error("its description has no " + key);
    return json.substr(at + key.size() + 3);
}

bool is(const std::string& json, const std::string& value) { return json.compare(0, value.size() + 2, "\"" + value + "\"") == 0; }

Description describe(const ov::Model& model) {
    const std::vector<std::string> places[] = {{"framework", "convatlas"}, {"convatlas"}};  // of ONNX, of OpenVINO's XML
    for (const auto& place : places) {
        if (!model.has_rt_info(place)) continue;
        const auto json = model.get_rt_info<std::string>(place);
        const auto preparation = after(json, "preparation"), size = after(preparation, "size");
        Description about{};
        const auto names = after(json, "classes");
        for (size_t at = 1; at < names.size() && names[at] == '"'; at += names.at(at) == ',') {
            std::string name;
            for (at++; names.at(at) != '"'; at++) name += names[at] == '\\' ? names.at(++at) : names[at];
            about.classes.push_back(name);
            at++;
        }
        about.resizes_by_itself = is(after(json, "input"), "photo");
        about.squash = is(after(preparation, "resize"), "squash");
        if (!about.squash && !about.resizes_by_itself && !is(after(preparation, "resize"), "shorter-crop"))
            throw std::runtime_error("this example does not pad: export another preparation");
        about.bicubic = is(after(preparation, "interpolation"), "bicubic");
        about.height = std::stoul(size.substr(1)), about.width = std::stoul(size.substr(size.find(',') + 1));
        about.channels = std::stoul(after(preparation, "channels"));
        about.margin = std::stod(after(preparation, "margin"));
        return about;
    }
    throw std::runtime_error("it is no file of convatlas export");
}

// --- Pillow's resize (src/libImaging/Resample.c) ---------------------------------------------------------------------

constexpr int PRECISION_BITS = 22;  // of the weights

double filter(double x, bool bicubic) {
    x = std::fabs(x);
    if (!bicubic) return x < 1 ? 1 - x : 0;
    const double a = -0.5;
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// One pass, along the rows or along the columns.
Image resized(const Image& image, size_t length, bool vertical, bool bicubic) {
    const size_t from = vertical ? image.height : image.width;
    if (from == length) return image;
    Image result = blank(vertical ? length : image.height, vertical ? image.width : length, image.channels);
    const double scale = double(from) / length, stretch = std::max(scale, 1.0), support = (bicubic ? 2 : 1) * stretch;
    for (size_t place = 0; place < length; place++) {
        const double centre = (place + 0.5) * scale;
        const int first = std::max(0, int(centre - support + 0.5)), end = std::min(int(from), int(centre + support + 0.5));
        std::vector<double> shares;
        double sum = 0;
        for (int x = first; x < end; x++) sum += shares.emplace_back(filter((x - centre + 0.5) * (1 / stretch), bicubic));
        std::vector<int> weights;
        for (const double share : shares) {
            const double scaled = share / sum * (1 << PRECISION_BITS);
            weights.push_back(int(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
        }
        for (size_t line = 0; line < (vertical ? image.width : image.height); line++)
            for (size_t c = 0; c < image.channels; c++) {
                int total = 1 << (PRECISION_BITS - 1);
                for (int x = first; x < end; x++)
                    total += weights[x - first] * (vertical ? image.at(x, line, c) : image.at(line, x, c));
                (vertical ? result.at(place, line, c) : result.at(line, place, c)) =
                    uint8_t(std::clamp(total >> PRECISION_BITS, 0, 255));
            }
    }
    return result;
}

Image prepare(const Image& image, const Description& about) {
    const size_t stored_height = std::nearbyint(about.height * about.margin), stored_width = std::nearbyint(about.width * about.margin);
    size_t height = stored_height, width = stored_width;
    if (!about.squash) {
        const double scale = std::max(double(height) / image.height, double(width) / image.width);
        height = std::max(height, size_t(std::nearbyint(image.height * scale)));
        width = std::max(width, size_t(std::nearbyint(image.width * scale)));
    }
    // since version 13 Pillow begins with the columns where the height loses more than twice what the width loses
    const long lost_height = long(image.height) - long(height), lost_width = long(image.width) - long(width);
    const bool columns_first = lost_height > 0 && lost_height > 2 * lost_width;
    const Image once = resized(image, columns_first ? height : width, columns_first, about.bicubic);
    const Image whole = resized(once, columns_first ? width : height, !columns_first, about.bicubic);
    const size_t top = (height - stored_height) / 2 + (stored_height - about.height) / 2;
    const size_t left = (width - stored_width) / 2 + (stored_width - about.width) / 2;
    Image result = blank(about.height, about.width, image.channels);
    for (size_t y = 0; y < about.height; y++)
        std::copy_n(&whole.pixels[((top + y) * width + left) * image.channels], about.width * image.channels,
                    &result.pixels[y * about.width * image.channels]);
    return result;
}

// --- the program -----------------------------------------------------------------------------------------------------

int main(int count, char** arguments) {
    if (count < 3) {
        std::cerr << "usage: classify model.onnx PHOTO.ppm...\n";
        return 2;
    }
    try {
        ov::Core core;
        const auto model = core.read_model(arguments[1]);
        const auto about = describe(*model);
        // without the hint OpenVINO computes in bf16 on processors with AMX
        auto request = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32),
                                          ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY))
                           .create_infer_request();
        int unread = 0;
        for (int place = 2; place < count; place++) {
            try {
                auto image = read_pnm(arguments[place]);
                if (image.channels != about.channels)
                    throw std::runtime_error(about.channels == 3 ? "a colour image (PPM) is needed" : "a grey one (PGM) is needed");
                if (!about.resizes_by_itself) image = prepare(image, about);
                const ov::Shape shape{1, image.height, image.width, image.channels};
                request.set_tensor("images", ov::Tensor(ov::element::u8, shape, image.pixels.data()));
                request.infer();
                const auto output = request.get_tensor("probabilities");
                const auto* first = output.data<float>();
                const auto* best = std::max_element(first, first + output.get_size());
                std::printf("%s\t%s\t%.4f\n", arguments[place], about.classes.at(best - first).c_str(), *best);
            } catch (const std::runtime_error& error) {
                std::cerr << arguments[place] << " cannot be read: " << error.what() << "\n";
                unread++;
            }
        }
        return unread ? 3 : 0;
    } catch (const std::exception& error) {
        std::cerr << arguments[1] << " cannot be used: " << error.what() << "\n";
        return 3;
    }
}
