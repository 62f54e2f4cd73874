/** The types that the `gifenc` package lacks, for the three functions used here. */
import gifenc from "gifenc";

/** RGB triples. */
export type Palette = number[][];

/** Collects frames and gives the file's bytes. */
export interface GifWriter {
  /** A frame of palette indices [H, W]; the first frame must bring the palette, which later ones share. `delay` in ms. */
  writeFrame(indices: Uint8Array, width: number, height: number, options: { palette?: Palette; delay: number }): void;
  /** Ends the file; no frame may follow. */
  finish(): void;
  /** The file's bytes. */
  bytes(): Uint8Array;
}

/** Starts a file. */
export const GIFEncoder: () => GifWriter = gifenc.GIFEncoder;

/** The `maxColors` colours that serve the RGBA pixels best. */
export const quantize: (rgba: Uint8ClampedArray, maxColors: number) => Palette = gifenc.quantize;

/** Index of the nearest colour for every RGBA pixel. */
export const applyPalette: (rgba: Uint8ClampedArray, palette: Palette) => Uint8Array = gifenc.applyPalette;
