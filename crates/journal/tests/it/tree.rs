use crate::support::FullTree;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use marque_journal::limits::*;
use marque_journal::merkle::*;
use marque_journal::tile::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tlog_tiles::tlog;

fn entries(n: u64) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("record {i}").into_bytes()).collect()
}

fn full(n: u64) -> FullTree {
    FullTree::of(entries(n).iter().map(|entry| leaf_hash(entry)))
}

/// Go's tlog, as ported by Cloudflare.
struct Oracle(Vec<tlog::Hash>);

impl tlog::HashReader for Oracle {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|i| self.0[usize::try_from(*i).unwrap()]).collect())
    }
}

fn oracle(n: u64) -> Oracle {
    let mut oracle = Oracle(vec![]);
    for (i, entry) in entries(n).iter().enumerate() {
        let new = tlog::stored_hashes(i as u64, entry, &oracle).unwrap();
        oracle.0.extend(new);
    }
    oracle
}

fn plain(hashes: &[tlog::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| hash.0).collect()
}

#[test]
fn roots_and_proofs_are_those_of_two_other_implementations() {
    let n = 70;
    let (ours, theirs) = (full(n), oracle(n));
    for size in 0..=n {
        let root = ours.roots[size as usize];
        assert_eq!(root, tlog::tree_hash(size, &theirs).unwrap().0);
        assert_eq!(root_at(size, &ours).unwrap(), root);
        let mut ct = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        entries(size).into_iter().for_each(|entry| ct.push(entry));
        assert_eq!(root[..], ct.root().as_bytes()[..]);
        for index in 0..size {
            let proof = inclusion_proof(index, size, &ours).unwrap();
            assert_eq!(proof, plain(&tlog::prove_record(size, index, &theirs).unwrap()));
            assert_eq!(proof.concat(), ct.prove_inclusion(index as usize).as_bytes());
            assert_eq!(verify_inclusion(&leaf_hash(&entries(n)[index as usize]), index, size, &proof, &root), Ok(()));
        }
        for old in 1..=size {
            let proof = consistency_proof(old, size, &ours).unwrap();
            assert_eq!(proof, plain(&tlog::prove_tree(size, old, &theirs).unwrap()));
            if old < size {
                assert_eq!(proof.concat(), ct.prove_consistency((size - old) as usize).as_bytes());
            }
            assert_eq!(verify_consistency(old, size, &proof, &ours.roots[old as usize], &root), Ok(()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is done to a true proof, both verifiers say the same.
    #[test]
    fn a_changed_proof_is_judged_as_the_oracle_judges_it(
        size in 1u64..200, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), edit in 0..5u8, wrong in 0u64..200,
    ) {
        let ours = full(200);
        let (index, old) = (a.index(size as usize) as u64, 1 + b.index(size as usize) as u64);
        let (root, old_root) = (ours.roots[size as usize], ours.roots[old as usize]);
        let leaf = ours.hashes[&(0, index)];
        let damage = |mut proof: Vec<Hash>| {
            let at = a.index(proof.len().max(1));
            match edit {
                0 if !proof.is_empty() => proof[at][0] ^= 1,
                1 => proof.push([1; 32]),
                2 => drop(proof.pop()),
                3 => proof.reverse(),
                _ => {}
            }
            proof
        };
        let theirs = |proof: &[Hash]| proof.iter().map(|hash| tlog::Hash(*hash)).collect::<Vec<_>>();
        let proof = damage(inclusion_proof(index, size, &ours).unwrap());
        for (i, s) in [(index, size), (wrong, size), (index, wrong)] {
            let ok = i < s && tlog::check_record(&theirs(&proof), s, tlog::Hash(root), i, tlog::Hash(leaf)).is_ok();
            prop_assert_eq!(verify_inclusion(&leaf, i, s, &proof, &root).is_ok(), ok);
        }
        let proof = damage(consistency_proof(old, size, &ours).unwrap());
        for (o, s) in [(old, size), (wrong, size), (old, wrong)] {
            if o == 0 || o > s {
                prop_assert!(verify_consistency(o, s, &proof, &old_root, &root).is_err());
                continue;
            }
            let ok = tlog::check_tree(&theirs(&proof), s, tlog::Hash(root), o, tlog::Hash(old_root)).is_ok();
            prop_assert_eq!(verify_consistency(o, s, &proof, &old_root, &root).is_ok(), ok);
        }
    }

    #[test]
    fn tile_names_are_those_of_the_oracle(level in 0u8..=MAX_TILE_LEVEL, index in 0u64..u64::MAX >> 8, width in 1u16..=256, data: bool) {
        let ours = Tile { row: if data { Row::Entries } else { Row::Hashes(level) }, index, width };
        let theirs = tlog_tiles::Tile::new(8, if data { 0 } else { level }, index, u32::from(width), data).path();
        prop_assert_eq!(ours.path(), theirs.replacen("tile/8/", "tile/", 1).replacen("/data/", "/entries/", 1));
        prop_assert_eq!(Tile::parse(&ours.path()), Ok(ours));
    }

    #[test]
    fn new_tiles_are_those_of_the_oracle(old in 0u64..200_000, more in 0u64..3000) {
        let mut theirs: Vec<String> = tlog_tiles::Tile::new_tiles(8, old, old + more).iter().map(|tile| tile.path().replacen("tile/8/", "tile/", 1)).collect();
        let mut ours: Vec<String> = new_tiles(old, old + more).filter(|tile| tile.row != Row::Entries).map(|tile| tile.path()).collect();
        theirs.sort();
        ours.sort();
        prop_assert_eq!(ours, theirs);
    }
}

#[test]
fn proofs_can_be_made_from_tiles_alone() {
    let n = 66_000;
    let mut tree = Tree::new();
    let mut rows: BTreeMap<u8, Vec<Hash>> = BTreeMap::new();
    let mut roots = vec![tree.root()];
    let leaves: Vec<Hash> = (0..n as u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    for leaf in &leaves {
        tree.push(*leaf, |level, _, hash| {
            if level % TILE_HEIGHT == 0 {
                rows.entry(level / TILE_HEIGHT).or_default().push(*hash);
            }
        })
        .unwrap();
        roots.push(tree.root());
    }
    let reader = TileHashes::new(|level, index| {
        let row = rows.get(&level).ok_or(TileError::Content)?;
        Ok::<_, TileError>(row.iter().skip(index as usize * 256).take(256).copied().collect())
    });
    for (index, size) in [(0, n), (65_535, n), (65_999, n), (300, 65_536), (255, 257), (0, 1)] {
        let proof = inclusion_proof(index, size, &reader).unwrap();
        assert_eq!(verify_inclusion(&leaves[index as usize], index, size, &proof, &roots[size as usize]), Ok(()));
    }
    for (old, size) in [(1, n), (65_536, n), (65_999, n), (256, 65_537)] {
        let proof = consistency_proof(old, size, &reader).unwrap();
        assert_eq!(verify_consistency(old, size, &proof, &roots[old as usize], &roots[size as usize]), Ok(()));
    }
    assert_eq!(Tree::from_peaks(n, tree.peaks().to_vec()), Some(tree));
}

#[test]
fn the_tiles_of_the_specification_s_example() {
    let count = |row: Row, width: u16| new_tiles(0, 70_000).filter(|tile| tile.row == row && tile.width == width).count();
    assert_eq!((count(Row::Hashes(0), 256), count(Row::Hashes(0), 112)), (273, 1));
    assert_eq!((count(Row::Hashes(1), 256), count(Row::Hashes(1), 17), count(Row::Hashes(2), 1)), (1, 1, 1));
    assert_eq!(Tile { row: Row::Hashes(0), index: 1_234_067, width: 256 }.path(), "tile/0/x001/x234/067");
    for bad in ["tile/0/1", "tile/0/0001", "tile/00/001", "tile/8/001", "tile/0/x001/x234/067.p/256", "tile/0/001.p/0", "tile/0/001.p/01", "tile/data/001", "tile/0/x000/001", "tile/0/+01", "/tile/0/001", "tile/0/001/"] {
        assert_eq!(Tile::parse(bad), Err(TileError::Path), "{bad}");
    }
}

#[test]
fn bundles_hold_exactly_what_their_name_says() {
    let mut bundle = Vec::new();
    for entry in entries(3) {
        push_entry(&entry, &mut bundle).unwrap();
    }
    assert_eq!(parse_bundle(&bundle, 3).unwrap(), entries(3));
    assert_eq!(parse_bundle(&bundle, 2), Err(TileError::Content));
    assert_eq!(parse_bundle(&bundle, 4), Err(TileError::Content));
    assert!(push_entry(&vec![0; MAX_RECORD_BYTES], &mut bundle).is_ok());
    assert_eq!(push_entry(&vec![0; MAX_RECORD_BYTES + 1], &mut bundle), Err(TileError::TooLong(MAX_RECORD_BYTES + 1)));
    assert_eq!(parse_hashes(&[0; 64], 2).unwrap().len(), 2);
    assert!(parse_hashes(&[0; 64], 1).is_err() && parse_hashes(&[0; 65], 2).is_err());
}

#[test]
fn a_tree_is_full_at_its_limit() {
    let mut tree = Tree::from_peaks(MAX_TREE_SIZE - 1, vec![[0; 32]; 62]).unwrap();
    tree.push([0; 32], |_, _, _| {}).unwrap();
    assert_eq!(tree.push([0; 32], |_, _, _| {}), Err(TreeError::Range));
    assert_eq!(verify_inclusion(&[0; 32], 0, MAX_TREE_SIZE + 1, &[], &[0; 32]), Err(ProofError::Range));
    assert_ne!(verify_inclusion(&[0; 32], 0, MAX_TREE_SIZE, &[], &[0; 32]), Err(ProofError::Range));
    assert!(Tree::from_peaks(MAX_TREE_SIZE + 1, vec![[0; 32]]).is_none());
}
