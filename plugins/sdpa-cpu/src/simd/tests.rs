//! Tests of the generic kernels on every instruction set that this CPU has.

use half::{bf16, f16};

use super::table;
use super::{
    Elem, ExpKind, Gemm, Isa, MASKED, MICRO_ROWS, MICRO_VECS, PackColumns, PackPanels, PackRows,
    PackTransposed, Prefetch, RowSoftmax, Start, StoreRows, StoreTransposed, TileSoftmax,
    micro_shape_exists,
};

fn isas() -> impl Iterator<Item = Isa> {
    [Isa::Portable, Isa::Avx2, Isa::Avx512]
        .into_iter()
        .filter(|isa| isa.is_available())
}

/// Whole numbers from -8 to 8: sums of products of them are exact in `f32`.
fn numbers(count: usize) -> Vec<f32> {
    (0..count)
        .map(|x| ((x * 7 + x / 5) % 17) as f32 - 8.0)
        .collect()
}

#[test]
fn products_are_right_for_every_register_tile() {
    for isa in isas() {
        for (rows, vecs) in MICRO_ROWS
            .into_iter()
            .flat_map(|r| MICRO_VECS.map(|v| (r, v)))
        {
            let exists = micro_shape_exists(isa, rows, vecs);
            for unit in [false, true] {
                let Some(gemm) = table::gemm(isa, rows, vecs, unit) else {
                    assert!(!exists, "{isa} {rows} x {vecs}");
                    continue;
                };
                assert!(exists, "{isa} {rows} x {vecs}");
                product_is_right(isa, gemm, rows, vecs * isa.lanes(), unit);
            }
        }
    }
}

/// 29 rows, in place with a rest, for all three ways to start.
fn product_is_right(isa: Isa, gemm: table::GemmFn, tile: usize, width: usize, unit: bool) {
    let (rows, depth) = (29, 5);
    let (a, b) = (numbers(rows * depth), numbers(depth * width));
    let factors = numbers(width);
    let at = |row: usize, k: usize| {
        if unit {
            a[row * depth + k]
        } else {
            a[k * rows + row]
        }
    };
    for (start, keep) in [
        (Start::Zero, 0.0),
        (Start::Keep, 1.0),
        (Start::Scale(factors.as_ptr()), 2.0),
    ] {
        let old = numbers(rows * width);
        let mut c = old.clone();
        let job = Gemm {
            rows,
            depth,
            a: a.as_ptr(),
            a_panel: if unit { tile * depth } else { tile },
            a_stride: if unit { depth } else { rows },
            padded: false,
            b: b.as_ptr(),
            b_stride: width,
            c: c.as_mut_ptr(),
            c_stride: width,
            start,
            prefetch: Prefetch {
                from: a.as_ptr().cast(),
                bytes: 100,
                near: true,
            },
        };
        // SAFETY: the matrices have the extents of the job, and the CPU has the instruction set.
        unsafe { gemm(&job) };
        for row in 0..rows {
            for column in 0..width {
                let product: f32 = (0..depth).map(|k| at(row, k) * b[k * width + column]).sum();
                let before = match keep {
                    0.0 => 0.0,
                    1.0 => old[row * width + column],
                    _ => old[row * width + column] * factors[column],
                };
                let got = c[row * width + column];
                assert_eq!(got, before + product, "{isa} tile {tile} at {row},{column}");
            }
        }
    }
}

#[test]
fn layouts_are_right_and_nothing_beyond_them_is_touched() {
    for isa in isas() {
        for (rows, columns) in [(1, 1), (5, 7), (16, 16), (33, 40), (24, 17)] {
            let from: Vec<bf16> = numbers(rows * columns)
                .into_iter()
                .map(bf16::from_f32)
                .collect();
            for panel in [4, 6, 8, 12, 16, 24] {
                layouts(isa, &from, rows, columns, panel);
            }
        }
    }
}

fn layouts(isa: Isa, from: &[bf16], rows: usize, columns: usize, panel: usize) {
    let at = |row: usize, column: usize| {
        if row < rows && column < columns {
            from[row * columns + column].to_f32()
        } else {
            0.0
        }
    };
    let run = |size: usize, job: &dyn Fn(*mut f32)| {
        let mut to = vec![99.0; size + 8];
        job(to.as_mut_ptr());
        assert!(
            to[size..].iter().all(|x| *x == 99.0),
            "{isa} {rows}x{columns}/{panel}: too much"
        );
        to
    };
    let (pointer, stride) = (from.as_ptr(), columns);
    let what = format!("{isa} {rows}x{columns} in panels of {panel}");

    let panels = rows.div_ceil(panel);
    let to = run(panels * columns * panel, &|to| {
        let job = PackPanels {
            from: pointer,
            from_stride: stride,
            rows,
            columns,
            to,
            panel,
        };
        // SAFETY: the buffers have the extents of the job, and the CPU has the instruction set.
        unsafe { table::pack_panels(isa)(&job) };
    });
    for (index, value) in to[..panels * columns * panel].iter().enumerate() {
        let (row, column) = (
            index / (columns * panel) * panel + index % panel,
            index / panel % columns,
        );
        assert_eq!(*value, at(row, column), "{what}: panels");
    }

    for pairs in [false, true] {
        let depth = if pairs { rows.div_ceil(2) } else { rows };
        let size = columns.div_ceil(panel) * depth * panel;
        let to = run(size, &|to| {
            let job = PackColumns {
                from: pointer,
                from_stride: stride,
                rows,
                columns,
                to,
                panel,
            };
            // SAFETY: as above.
            unsafe { table::pack_columns(isa, pairs)(&job) };
        });
        for (index, value) in to[..size].iter().enumerate() {
            let (row, column) = (
                index / panel % depth,
                index / (depth * panel) * panel + index % panel,
            );
            let wanted = if pairs {
                let half = |row| u32::from(bf16::from_f32(at(row, column)).to_bits());
                half(2 * row) | half(2 * row + 1) << 16
            } else {
                at(row, column).to_bits()
            };
            assert_eq!(value.to_bits(), wanted, "{what}: columns, pairs {pairs}");
        }
    }

    let width = rows.next_multiple_of(isa.lanes());
    let to = run(columns * width, &|to| {
        let job = PackTransposed {
            from: pointer,
            from_stride: stride,
            rows,
            columns,
            to,
            width,
            scale: 2.0,
        };
        // SAFETY: as above.
        unsafe { table::pack_transposed(isa)(&job) };
    });
    for (index, value) in to[..columns * width].iter().enumerate() {
        assert_eq!(
            *value,
            2.0 * at(index % width, index / width),
            "{what}: transposed"
        );
    }

    let to_stride = columns + 3;
    let to = run(rows * to_stride, &|to| {
        let job = PackRows {
            from: pointer,
            from_stride: stride,
            rows,
            columns,
            to,
            to_stride,
            scale: 0.5,
        };
        // SAFETY: as above.
        unsafe { table::pack_rows(isa)(&job) };
    });
    for (index, value) in to[..rows * to_stride].iter().enumerate() {
        assert_eq!(
            *value,
            0.5 * at(index / to_stride, index % to_stride),
            "{what}: rows"
        );
    }
}

fn results_are_stored<T: Elem + Default + PartialEq + std::fmt::Debug>(round: impl Fn(f32) -> T) {
    for isa in isas() {
        for (rows, columns) in [(1usize, 1usize), (5, 7), (16, 16), (33, 40)] {
            let width = rows.next_multiple_of(isa.lanes());
            let padded = columns.next_multiple_of(isa.lanes());
            let value = |row: usize, column: usize| (row * 31 + column) as f32 / 7.0 - 20.0;
            let sum = vec![3.0; width];
            let wanted: Vec<T> = (0..rows * columns)
                .map(|at| round(value(at / columns, at % columns) * (1.0 / 3.0)))
                .collect();
            let transposed: Vec<f32> = (0..columns * width)
                .map(|at| value(at % width, at / width))
                .collect();
            let plain: Vec<f32> = (0..rows * padded)
                .map(|at| value(at / padded, at % padded))
                .collect();
            let mut one = vec![T::default(); rows * columns];
            let mut other = one.clone();
            // SAFETY: the buffers have the extents of the jobs, and the CPU has the instruction set.
            unsafe {
                table::store_transposed(isa)(&StoreTransposed {
                    from: transposed.as_ptr(),
                    width,
                    sum: sum.as_ptr(),
                    to: one.as_mut_ptr(),
                    rows,
                    columns,
                });
                table::store_rows(isa)(&StoreRows {
                    from: plain.as_ptr(),
                    from_stride: padded,
                    sum: sum.as_ptr(),
                    to: other.as_mut_ptr(),
                    rows,
                    columns,
                });
            }
            assert_eq!(one, wanted, "{isa} {rows}x{columns}");
            assert_eq!(other, wanted, "{isa} {rows}x{columns}");
        }
    }
}

#[test]
fn results_are_stored_and_rounded_to_nearest_even() {
    results_are_stored(|x| x);
    results_are_stored(f16::from_f32);
    results_are_stored(bf16::from_f32);
}

#[test]
fn exponentials_are_as_exact_as_they_say() {
    let bounds = [
        (ExpKind::Exact, 2.5e-7),
        (ExpKind::Poly5, 4e-7),
        (ExpKind::Poly4, 3e-6),
        (ExpKind::Poly3, 8e-5),
        (ExpKind::Poly2, 1.8e-3),
    ];
    for isa in isas() {
        for (kind, bound) in bounds {
            let lanes = isa.lanes();
            let keys = 401;
            // The first key is the maximum; the last one is far out, and must come to nothing.
            let score = |key: usize| {
                if key == keys - 1 {
                    MASKED
                } else {
                    key as f32 * -0.0625
                }
            };
            let mut scores: Vec<f32> = (0..keys)
                .flat_map(|key| std::iter::repeat_n(score(key), lanes))
                .collect();
            let (mut max, mut sum) = (vec![MASKED; lanes], vec![0.0; lanes]);
            let mut shrink = vec![0.0; lanes];
            let job = TileSoftmax {
                scores: scores.as_mut_ptr(),
                keys,
                vecs: 1,
                unmasked: keys,
                first_seer: 0.0,
                max: max.as_mut_ptr(),
                sum: sum.as_mut_ptr(),
                shrink: shrink.as_mut_ptr(),
                factor: kind.prescale(),
                threshold: 0.0,
            };
            // SAFETY: the buffers have the extents of the job, and the CPU has the instruction set.
            assert!(unsafe { table::tile_softmax(isa, kind, false)(&job) });
            for key in 0..keys - 1 {
                let wanted = f64::from(score(key)).exp();
                let error = (f64::from(scores[key * lanes]) / wanted - 1.0).abs();
                // Rounding the argument costs in proportion to its size.
                let bound = bound + 1.2e-7 * f64::from(score(key)).abs();
                assert!(error <= bound, "{isa} {kind:?} {}: {error:.1e}", score(key));
            }
            assert!(scores[(keys - 1) * lanes] < 1e-36 && shrink[0] < 1e-36 && max[0] == 0.0);
        }
    }
}

/// Lane `i` sees keys `0..=i`; a lane that has seen nothing keeps nothing.
#[test]
fn masks_are_diagonal_and_a_lane_may_see_nothing() {
    for isa in isas() {
        let (lanes, keys) = (isa.lanes(), 6);
        let mut scores = vec![0.5f32; keys * lanes];
        let (mut max, mut sum) = (vec![MASKED; lanes], vec![0.0f32; lanes]);
        let mut shrink = vec![0.0; lanes];
        let job = TileSoftmax {
            scores: scores.as_mut_ptr(),
            keys,
            vecs: 1,
            unmasked: 0,
            // The first key is seen from lane 2 on.
            first_seer: 2.0,
            max: max.as_mut_ptr(),
            sum: sum.as_mut_ptr(),
            shrink: shrink.as_mut_ptr(),
            factor: 0.125,
            threshold: 0.0,
        };
        // SAFETY: as above.
        unsafe { table::tile_softmax(isa, ExpKind::Poly5, false)(&job) };
        for (lane, sum) in sum.iter().enumerate() {
            let seen = (lane + 1).saturating_sub(2).min(keys) as f32;
            assert!((sum - seen).abs() < 1e-5, "{isa} lane {lane}: {sum}");
        }
    }
}

#[test]
fn rows_are_masked_and_padded_with_zeros() {
    for isa in isas() {
        let (keys, stride, rows) = (19, 32, 3);
        let mut scores = numbers(rows * stride);
        let mut max = [MASKED; 3];
        let (mut sum, mut shrink) = ([0.0; 3], [0.0; 3]);
        let before = scores.clone();
        let job = RowSoftmax {
            scores: scores.as_mut_ptr(),
            rows,
            stride,
            keys,
            seen: 17,
            max: max.as_mut_ptr(),
            sum: sum.as_mut_ptr(),
            shrink: shrink.as_mut_ptr(),
            factor: std::f32::consts::LOG2_E,
        };
        // SAFETY: as above.
        unsafe { table::row_softmax(isa)(&job) };
        for row in 0..rows {
            let seen = (17 + row).min(keys);
            let old = &before[row * stride..][..seen];
            let top = old.iter().copied().fold(f32::MIN, f32::max);
            let total: f32 = old.iter().map(|x| (x - top).exp()).sum();
            assert!((sum[row] / total - 1.0).abs() < 1e-5, "{isa}");
            let padded = keys.next_multiple_of(isa.lanes());
            assert!(
                scores[row * stride + seen..row * stride + padded]
                    .iter()
                    .all(|x| *x < 1e-36)
            );
        }
    }
}
